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

	"github.com/remora-logs/remora/shared/tail/find"
)

// dropStep is the unit, in bytes, in which the page cache is given back: a multiple of every page size, and large enough to keep
// the fdatasync that precedes rare.
const dropStep = 4 << 20

// reclaim gives back what acknowledged bytes still occupy: rotated files, and pages in memory. Both are opt-in.
func (t *Tailer) reclaim(o *origin, now time.Time) {
	if o.declared.DeleteAfter == 0 && !t.cfg.DropPageCache {
		return
	}
	for _, g := range o.byInode {
		if t.cfg.DropPageCache {
			t.dropCache(g)
		}
		if o.declared.DeleteAfter > 0 && o.deletable(g, now) {
			t.delete(o, g)
		}
	}
}

// deletable reports whether g was rotated, is acknowledged to its end, and has been quiet for DeleteAfter. A file counts as
// rotated if it was renamed to the name of a rotation, or has the name of a rotation of an active file.
func (o *origin) deletable(g *generation, now time.Time) bool {
	if g.Links == 0 || g.rel == "" || now.Sub(later(g.changed, g.since)) < o.declared.DeleteAfter {
		return false
	}
	if len(g.readers) > 0 || !g.owed().done() {
		return false
	}
	if g.name() != g.path {
		return find.RotatedName(filepath.Base(g.path), filepath.Base(g.rel))
	}
	for _, other := range o.byInode {
		if other != g && other.tree == g.tree && other.state == Active && filepath.Dir(other.rel) == filepath.Dir(g.rel) &&
			find.RotatedName(filepath.Base(other.rel), filepath.Base(g.rel)) {
			return true
		}
	}
	return false
}

// delete removes a file if its name still leads to it and its size has not changed.
func (t *Tailer) delete(o *origin, g *generation) {
	s, err := g.tree.Lstat(g.rel)
	if err != nil || s.Inode != g.Inode || s.Size != g.Size {
		return
	}
	err = g.tree.Remove(g.rel)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.problems.report(o.problem(g.name()), err)
		return
	}
	o.counts.Removed++
	t.log.Info("removed rotated file, all of which is acknowledged", "file", g.name(), "bytes", g.Size)
}

// dropCache gives back the pages that are acknowledged for all readers, which are not read again.
func (t *Tailer) dropCache(g *generation) {
	owed := g.owed()
	upTo := (g.end.Load() - owed.unacked) &^ (dropStep - 1)
	h, ok := g.body.(*os.File)
	if !ok || owed.incomplete || upTo <= g.dropped {
		return
	}
	fd, err := unix.FcntlInt(h.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return // no descriptor is left: try again the next time
	}
	select {
	case t.cleaner.work <- pages{os.NewFile(uintptr(fd), h.Name()), g.dropped, upTo}:
		g.dropped = upTo
	default: // the cleaner is busy: try again the next time
		_ = unix.Close(fd)
	}
}

// pages is a range of a file.
type pages struct {
	file     *os.File
	from, to int64
}

// cleaner writes ranges back and drops them from the page cache. It runs beside the tailer, because fdatasync waits for the disk.
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
				c.log.Debug("failed to give back page cache", "file", p.file.Name(), "error", err)
			}
		}
	}
}

// drop writes the pages back and drops them: POSIX_FADV_DONTNEED skips dirty pages (posix_fadvise(2)).
func (p pages) drop() error {
	defer p.file.Close()
	if err := unix.Fdatasync(int(p.file.Fd())); err != nil {
		return err
	}
	return unix.Fadvise(int(p.file.Fd()), p.from, p.to-p.from, unix.FADV_DONTNEED)
}
