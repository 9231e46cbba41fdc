// SPDX-License-Identifier: Apache-2.0

// Package live reads files that are replaced while Remora runs: tokens, passwords, certificate authorities.
package live

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// checkEvery is the shortest time between two checks of a file. A check is a system call, and a caller may ask for the
	// content for each request.
	checkEvery = time.Second
	// maxSize bounds the size of a file. A bundle of all public authorities takes 250 KiB.
	maxSize = 4 << 20
)

// File holds a file's content, and reads it again when the file was changed or replaced. It is safe for concurrent use.
type File struct {
	path string

	mu      sync.Mutex
	content []byte
	seen    os.FileInfo
	checked time.Time
	version int
}

// Open reads the file at path.
func Open(path string) (*File, error) {
	f := &File{path: path}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	return f, nil
}

// Path returns the file's path.
func (f *File) Path() string { return f.path }

// Content returns the file's content and its version, a number that grows with each change. While the file can't be read, it
// returns the last content read. The caller must not change the content.
func (f *File) Content() (content []byte, version int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= checkEvery {
		f.checked = now
		if info, err := os.Stat(f.path); err == nil && !same(info, f.seen) {
			_ = f.load() // the old content stays; the next check tries again
		}
	}
	return f.content, f.version
}

// same reports whether two checks found the same file, unchanged.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func (f *File) load() error {
	h, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(h, maxSize+1))
	if err != nil {
		return err
	}
	if len(content) > maxSize {
		return fmt.Errorf("%s is larger than %d bytes", f.path, maxSize)
	}
	f.content, f.seen = content, info
	f.version++
	return nil
}
