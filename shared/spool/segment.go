// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const segmentSuffix = ".seg"

// segment is one file of a log: the bytes from base on, as they came through the pipe. Frames may begin in one segment
// and end in the next.
//
// Its file is opened when it is needed and closed when it is idle, so that neither ended containers nor silent ones hold
// descriptors. mu guards opening and closing; whoever writes a segment holds Log.writeMu, which keeps its file open.
type segment struct {
	base  int64
	name  string
	spool *Spool
	size  atomic.Int64 // bytes in it; grows while it is the log's last
	// freed is how many of its bytes were given back to the file system, in whole blocks. Under Log.maintMu.
	freed int64

	mu   sync.Mutex
	file atomic.Pointer[os.File]
	used atomic.Bool // since the maintenance goroutine looked last
	gone atomic.Bool // removed: not to be opened again
	// indexed is set for a segment of a raw log, which has an index beside it.
	indexed bool
}

func (g *segment) end() int64 { return g.base + g.size.Load() }

// cost is how much of the disk the segment takes up. Under Log.maintMu.
func (g *segment) cost() int64 { return roundUp(g.size.Load()) - g.freed }

// open returns the segment's file, and opens it where it is closed.
func (g *segment) open() (*os.File, error) {
	g.used.Store(true)
	if f := g.file.Load(); f != nil {
		return f, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.file.Load(); f != nil {
		return f, nil
	}
	if g.gone.Load() {
		return nil, fmt.Errorf("%s: %w", g.name, fs.ErrNotExist)
	}
	f, err := os.OpenFile(g.name, os.O_RDWR, 0)
	if err != nil {
		g.spool.noteOpenError(err)
		return nil, err
	}
	g.attach(f)
	return f, nil
}

// attach makes f the segment's open file.
func (g *segment) attach(f *os.File) {
	g.file.Store(f)
	if g.spool.openFiles.Add(1) > g.spool.opt.MaxOpen {
		g.spool.wake()
	}
}

// close closes the file until it is needed again. Whoever reads it at this moment opens it again.
func (g *segment) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.file.Swap(nil); f != nil {
		f.Close()
		g.spool.openFiles.Add(-1)
	}
}

// readAt reads from off bytes behind base.
func (g *segment) readAt(p []byte, off int64) (int, error) {
	for {
		f, err := g.open()
		if err != nil {
			return 0, err
		}
		n, err := f.ReadAt(p, off)
		if errors.Is(err, os.ErrClosed) && n == 0 {
			continue // it was idle until now, and closed at this moment
		}
		return n, err
	}
}

// with calls do with the open file, once more where it was closed as idle meanwhile.
func (g *segment) with(do func(f *os.File) error) error {
	for {
		f, err := g.open()
		if err != nil {
			return err
		}
		if err = do(f); err == nil || g.file.Load() == f || g.gone.Load() {
			return err
		}
	}
}

// remove takes the file off the disk. A reader gets an error and asks again. Unlinking may fail on a disk that is
// read-only; the file is then found and judged again when the log is opened next.
func (g *segment) remove() {
	os.Remove(g.name)
	if g.indexed {
		os.Remove(indexName(g.name))
	}
	g.gone.Store(true)
	g.close()
}

func segmentName(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, segmentSuffix))
}

// findSegments lists the segments in dir, by ascending base, without opening them. Files with other names are ignored.
func (s *Spool) findSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []*segment
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		base, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || base < 0 {
			continue
		}
		st, err := e.Info()
		if missing(err) {
			continue // another process has removed it since
		}
		if err != nil {
			return nil, err
		}
		g := &segment{base: base, name: filepath.Join(dir, e.Name()), spool: s}
		g.size.Store(st.Size())
		segs = append(segs, g)
	}
	slices.SortFunc(segs, func(a, b *segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	return segs, nil
}

// segmentAt is the index of the segment that holds off or ends before it; -1 where all begin after it.
func segmentAt(segs []*segment, off int64) int {
	lo, hi := 0, len(segs)
	for lo < hi {
		if mid := (lo + hi) / 2; segs[mid].base <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}
