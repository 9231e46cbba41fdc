// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// dropStep is how many bytes are given back from the page cache at once: a multiple of every page size, large enough
// that the fdatasync it takes is rare.
const dropStep = 4 << 20

// reclaim gives back what acknowledged bytes still take up: rotated files, and pages in memory. Both are opt-in.
func (t *Tailer) reclaim(now time.Time) {
	if t.cfg.DeleteAfter == 0 && !t.cfg.DropPageCache {
		return
	}
	for _, f := range t.files {
		if t.cfg.DropPageCache {
			t.dropCache(f)
		}
		if t.cfg.DeleteAfter > 0 && t.deletable(f, now) {
			t.remove(f)
		}
	}
}

// deletable tells whether f was rotated, is acknowledged to its end, and quiet. A file counts as rotated if it was
// renamed, or bears the name of a rotation of one that is still written: never if it may be the log itself.
func (t *Tailer) deletable(f *file, now time.Time) bool {
	if f.links == 0 || f.rel == "" || f.limbo || now.Sub(later(f.changed, f.since)) < t.cfg.DeleteAfter {
		return false
	}
	if len(f.views) > 0 || f.release() != f.end.Load() {
		return false
	}
	if f.name() != f.path {
		return rotatedName(filepath.Base(f.path), filepath.Base(f.rel))
	}
	for _, o := range t.files {
		if o != f && o.volume == f.volume && o.state == live && filepath.Dir(o.rel) == filepath.Dir(f.rel) &&
			rotatedName(filepath.Base(o.rel), filepath.Base(f.rel)) {
			return true
		}
	}
	return false
}

// remove deletes a file, if its name still leads to it.
func (t *Tailer) remove(f *file) {
	s, err := f.volume.lstat(f.rel)
	if err != nil || s.inode != f.inode || s.size != f.size {
		return
	}
	if err := f.volume.root.Remove(f.rel); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.trouble.note(f.name(), err)
		return
	}
	t.counts.Removed++
	t.log.Info("removed a rotated file, all of which is acknowledged", "file", f.name(), "bytes", f.size)
}

// dropCache gives back the pages below what all views have had acknowledged: nobody reads them again.
func (t *Tailer) dropCache(f *file) {
	upTo := f.release() &^ (dropStep - 1)
	h, ok := f.body.(*os.File)
	if !ok || upTo <= f.drop {
		return
	}
	fd, err := unix.FcntlInt(h.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return // no handle to spare: the next time
	}
	select {
	case t.cleaner.work <- pages{os.NewFile(uintptr(fd), h.Name()), f.drop, upTo}:
		f.drop = upTo
	default: // it is busy writing: the next time
		_ = unix.Close(fd)
	}
}

// pages are a range of a file.
type pages struct {
	file     *os.File
	from, to int64
}

// cleaner writes ranges back and drops them from the page cache, beside the tailer: fdatasync waits for the disk.
type cleaner struct {
	log  *slog.Logger
	work chan pages
}

func newCleaner(log *slog.Logger) *cleaner { return &cleaner{log: log, work: make(chan pages, 1)} }

func (c *cleaner) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-c.work:
			if err := p.drop(); err != nil {
				c.log.Debug("page cache was not given back", "file", p.file.Name(), "error", err)
			}
		}
	}
}

// drop writes back first: POSIX_FADV_DONTNEED passes over dirty pages (posix_fadvise(2)).
func (p pages) drop() error {
	defer p.file.Close()
	if err := unix.Fdatasync(int(p.file.Fd())); err != nil {
		return err
	}
	return unix.Fadvise(int(p.file.Fd()), p.from, p.to-p.from, unix.FADV_DONTNEED)
}
