// SPDX-License-Identifier: Apache-2.0

package file

import (
	"path/filepath"
	"strings"
	"sync"
)

// maxOwned bounds the inodes remembered. They matter only if a directory is reached by another path.
const maxOwned = 16 << 10

// owned knows the files that the output wrote: all below its directory and, because the directory may also be mounted
// elsewhere, the inodes that it has written to since it was opened.
type owned struct {
	root string

	mu     sync.Mutex
	inodes map[inode]struct{}
}

func (o *owned) add(id inode) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inodes == nil || len(o.inodes) >= maxOwned {
		o.inodes = make(map[inode]struct{})
	}
	o.inodes[id] = struct{}{}
}

func (o *owned) has(path string, id inode) bool {
	o.mu.Lock()
	_, known := o.inodes[id]
	o.mu.Unlock()
	return known || below(resolve(o.root), resolve(path))
}

// resolve follows the links of path, as far as it exists.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return filepath.Clean(path)
}

func below(dir, path string) bool {
	return dir == "/" || strings.HasPrefix(path, dir+"/")
}
