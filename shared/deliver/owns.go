// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/pipeline"
)

// fileWriter is an output that writes files on this host.
type fileWriter interface {
	Owns(path string, dev, ino uint64) bool
}

// fileWritersOf returns the outputs that write files.
func fileWritersOf(sinks map[string]pipeline.Sink) (all []fileWriter) {
	for _, s := range sinks {
		if o, ok := s.Output.(fileWriter); ok {
			all = append(all, o)
		}
	}
	return all
}

// Owns reports whether this process writes the file at path on this host: an output writes it, it is part of the state, or
// standard output or standard error is redirected to it. Such a file must not be collected, because what is read from it would
// be written to it again. path may be empty if only dev and ino are known.
func (d *Delivery) Owns(path string, dev, ino uint64) bool {
	if isOpenAs(1, dev, ino) || isOpenAs(2, dev, ino) {
		return true
	}
	if path != "" {
		dead := d.options.Batching.DeadLetter
		if strings.HasPrefix(path, filepath.Clean(d.StateDir)+"/") || dead != "" && (path == dead || path == dead+".1") {
			return true
		}
	}
	for _, o := range d.files {
		if o.Owns(path, dev, ino) {
			return true
		}
	}
	return false
}

// isOpenAs reports whether the descriptor fd refers to the file with that device and inode.
func isOpenAs(fd int, dev, ino uint64) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Dev == dev && st.Ino == ino && ino != 0
}
