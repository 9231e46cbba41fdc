// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"sync"

	"github.com/remora-logs/remora/shared/frame"
)

// scratch holds buffers for rarely used paths, so that no log owns one.
var scratch = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// frameCounter counts the frames in bytes that are given to it piece by piece, starting at a boundary between frames.
type frameCounter struct {
	frames int64 // frames that have ended
	left   int64 // bytes missing from the current frame's body
	head   [frame.HeaderLen]byte
	have   int  // bytes in head
	lost   bool // a length was invalid; nothing is counted from then on
	lines  bool // it counts the lines of a raw log instead
}

// boundary reports whether the bytes so far end with a frame, or may end anywhere.
func (c *frameCounter) boundary() bool { return c.lines || c.lost || c.left == 0 && c.have == 0 }

// rest returns how many bytes may follow up to the end of the current frame or, within its header, of the header.
func (c *frameCounter) rest() int64 {
	if c.left > 0 {
		return c.left
	}
	return int64(frame.HeaderLen - c.have)
}

func (c *frameCounter) count(p []byte) {
	if c.lines {
		c.frames += int64(bytes.Count(p, newline))
		return
	}
	for len(p) > 0 && !c.lost {
		if c.left == 0 {
			n := copy(c.head[c.have:], p)
			c.have += n
			p = p[n:]
			if c.have < frame.HeaderLen {
				return
			}
			n, ok := frame.Len(c.head[:])
			if c.left, c.have = int64(n), 0; !ok {
				c.lost, c.left = true, 0
			}
			continue
		}
		n := min(int64(len(p)), c.left)
		p = p[n:]
		if c.left -= n; c.left == 0 {
			c.frames++
		}
	}
}

// skipFrames walks from a boundary between frames to the first boundary at or after target, but not beyond end, and counts the
// frames on the way, including those in shared gaps. ok is false if the bytes are not frames or can't be read, or if the number
// of frames in a gap is unknown; at is then where the walk stopped.
func (l *Log) skipFrames(from, target, end int64) (at, records int64, ok bool) {
	if l.opt.Raw {
		return l.skipLines(from, target, end)
	}
	mem := scratch.Get().(*[]byte)
	defer scratch.Put(mem)
	var window []byte // bytes of the log from offset start on
	var start int64
	for at = from; at < target; {
		if g, found := l.sharedGapAt(at); found {
			if g.records < 0 {
				return at, records, false
			}
			at, records = g.to, records+g.records
			continue
		}
		if at+frame.HeaderLen > end {
			return at, records, true
		}
		if at < start || at+frame.HeaderLen > start+int64(len(window)) {
			n, err := l.pread(*mem, at, end)
			if err != nil || n < frame.HeaderLen {
				return at, records, false
			}
			window, start = (*mem)[:n], at
		}
		n, ok := frame.Len(window[at-start:])
		if !ok {
			return at, records, false
		}
		next := at + frame.HeaderLen + int64(n)
		if next > end {
			return at, records, true
		}
		at, records = next, records+1
	}
	return at, records, true
}

var newline = []byte("\n")

// skipLines is skipFrames for a raw log: it walks to the first end of a line at or after target, or to target if there is none,
// and counts newlines. An unfinished line of the other stream is cut there.
func (l *Log) skipLines(from, target, end int64) (at, records int64, ok bool) {
	mem := scratch.Get().(*[]byte)
	defer scratch.Put(mem)
	target = min(target, end)
	if from >= target {
		return from, 0, true
	}
	for at = from; at < end; {
		if g, found := l.sharedGapAt(at); found {
			if g.records < 0 {
				return at, records, false
			}
			at, records = g.to, records+g.records
			if at >= target {
				return at, records, true
			}
			continue
		}
		if at >= target && at > from && l.endsLine(at) {
			return at, records, true
		}
		n, err := l.pread(*mem, at, end)
		if err != nil || n == 0 {
			return at, records, at >= target
		}
		p := (*mem)[:n]
		if at+int64(n) > target {
			before := max(target-at-1, 0)
			if i := bytes.IndexByte(p[before:], '\n'); i >= 0 {
				stop := before + int64(i) + 1
				return at + stop, records + int64(bytes.Count(p[:stop], newline)), true
			}
		}
		records += int64(bytes.Count(p, newline))
		at += int64(n)
	}
	return max(min(at, target), from), records, true
}

// endsLine reports whether the byte before off is a newline.
func (l *Log) endsLine(off int64) bool {
	var b [1]byte
	n, err := l.pread(b[:], off-1, off)
	return err == nil && n == 1 && b[0] == '\n'
}
