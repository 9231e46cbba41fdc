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

// segment is one file of a log: the bytes from base on, as they came through the pipe. A frame may begin in one segment and end
// in the next.
//
// The file is opened when it is needed and closed when it is idle, so that ended or silent containers hold no descriptors. mu
// guards opening and closing. The goroutine that appends holds Log.writeMu, which keeps the file open.
type segment struct {
	base  int64
	name  string
	spool *Spool
	size  atomic.Int64 // in bytes; grows while the segment is the log's last
	// freed is how many of its bytes were given back to the file system, in whole blocks. Log.maintMu guards it.
	freed int64

	mu   sync.Mutex
	file atomic.Pointer[os.File]
	used atomic.Bool // it was used since the last call of closeIdle
	gone atomic.Bool // it was removed and must not be opened again
	// indexed is set for a segment of a raw log, which has an index beside it.
	indexed bool
}

func (g *segment) end() int64 { return g.base + g.size.Load() }

// cost returns the disk space of the segment, in bytes. The caller holds Log.maintMu.
func (g *segment) cost() int64 { return roundUp(g.size.Load()) - g.freed }

// open returns the segment's file, opening it if it is closed.
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

// close closes the file until it is needed again. A reader that is using it opens it again.
func (g *segment) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.file.Swap(nil); f != nil {
		f.Close()
		g.spool.openFiles.Add(-1)
	}
}

// readAt reads at off, relative to base.
func (g *segment) readAt(p []byte, off int64) (int, error) {
	for {
		f, err := g.open()
		if err != nil {
			return 0, err
		}
		n, err := f.ReadAt(p, off)
		if errors.Is(err, os.ErrClosed) && n == 0 {
			continue // closeIdle closed it between open and ReadAt
		}
		return n, err
	}
}

// with calls do with the open file, and again if do failed and the file was closed as idle meanwhile.
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

// remove removes the file from the disk. A reader gets an error and tries again. Unlinking may fail on a read-only disk; the file
// is then found again when the log is next opened.
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

// findSegments returns the segments in dir, in ascending order of base, without opening them. It ignores other files.
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

// segmentAt returns the index of the last segment that begins at or before off; -1 if all begin after it.
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
