// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

const segmentSuffix = ".seg"

// segment is one file of a log: the bytes from base on, as they came through the pipe. Frames may begin in one segment
// and end in the next.
type segment struct {
	base int64
	file *os.File
	size atomic.Int64 // bytes in it; grows while it is the log's last
	// freed is how many of its bytes were given back to the file system. Under Log.care.
	freed int64
}

func (g *segment) end() int64 { return g.base + g.size.Load() }

// fd is for capture, which alone closes the segment that it writes.
func (g *segment) fd() int { return int(g.file.Fd()) }

// remove takes the file off the disk. Who reads it at this moment gets an error, and looks again. Unlinking may fail on
// a disk that is read-only; the file is then found and judged again when the log is opened next.
func (g *segment) remove() {
	os.Remove(g.file.Name())
	g.file.Close()
}

func segmentName(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, segmentSuffix))
}

// openSegments opens the segments in dir, by ascending base. Files with other names are none of its business.
func openSegments(dir string) ([]*segment, error) {
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
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if err != nil {
			closeSegments(segs)
			return nil, err
		}
		g := &segment{base: base, file: f}
		segs = append(segs, g)
		st, err := f.Stat()
		if err != nil {
			closeSegments(segs)
			return nil, err
		}
		g.size.Store(st.Size())
	}
	slices.SortFunc(segs, func(a, b *segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	return segs, nil
}

func closeSegments(segs []*segment) {
	for _, g := range segs {
		g.file.Close()
	}
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
