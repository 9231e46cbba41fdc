// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// Index describes the bytes of a raw stream: which of the container's standard streams they came through, and when they were
// read.
type Index interface {
	io.ReaderAt
	Chunk(off int64) (stream.Chunk, error)
}

// Chunks cuts a container's raw output into lines. Chunks of stdout and stderr alternate, and a line may span several. The
// time of a line is that of the chunk in which it begins. A line longer than the limit becomes several records, all but the
// last marked as truncated.
//
// Only the offsets of an unfinished line's pieces are held; see joiner.
type Chunks struct {
	index Index
	join  joiner
	chunk stream.Chunk // of the byte that was looked up last
	from  int64        // the offset of that byte; -1 at first
	entry entry        // used by Cut; a field, because a local variable would escape to the heap
}

// NewChunks returns a cutter for src. A record holds at most max bytes. An unfinished line becomes a record if nothing of it
// has come for timeout, in ns.
func NewChunks(src *record.Source, index Index, max int, timeout int64) *Chunks {
	return &Chunks{index: index, from: -1,
		join: joiner{src: src, stream: index, decode: rawPiece, max: max, timeout: timeout}}
}

// rawPiece is a decoder for pieces that are already cut: all of p is text.
func rawPiece(p []byte, e *entry, _ int, _ bool) (size int, v verdict) {
	*e = entry{line: p}
	return len(p), whole
}

// Cut implements Cutter.
func (c *Chunks) Cut(b *record.Batch, data []byte, at, now int64, last bool) int {
	c.join.err = nil
	defer func() { c.entry = entry{} }() // it points into b
	if c.chunk.End == math.MaxInt64 {
		c.from = -1
	}
	pos := 0
	for pos < len(data) {
		off := at + int64(pos)
		if err := c.find(off); err != nil {
			c.join.err = fmt.Errorf("index: %w", err)
			return pos
		}
		n := c.piece(b, data[pos:], off, now, last)
		if n == 0 {
			return pos
		}
		pos += n
	}
	if last || c.endsLine(at+int64(pos)) {
		c.join.expire(b, 0, true)
	}
	return pos
}

// endsLine reports whether the chunk that ends at off also ends the lines that are open there.
func (c *Chunks) endsLine(off int64) bool {
	return c.join.oldest() >= 0 && c.find(off-1) == nil && c.chunk.EndsLine && c.chunk.End == off
}

// find makes c.chunk the chunk that holds off. It looks the chunk up unless it is the present one. Cut discards an
// unfinished chunk first, because its end may be known by now.
func (c *Chunks) find(off int64) error {
	if c.from >= 0 && off >= c.from && off < c.chunk.End {
		return nil
	}
	chunk, err := c.index.Chunk(off)
	if err != nil {
		return err
	}
	c.chunk, c.from = chunk, off
	return nil
}

// piece consumes the piece of a line at the beginning of p, which lies at offset off, and returns its length; 0 if more
// bytes are needed.
func (c *Chunks) piece(b *record.Batch, p []byte, off, now int64, last bool) int {
	open := int64(len(p)) < c.chunk.End-off // more of the chunk may come
	if !open {
		p = p[:c.chunk.End-off]
	}
	e := &c.entry
	*e = entry{std: record.Std(c.chunk.Std), timeNano: c.chunk.Time, partial: true}
	n := bytes.IndexByte(p, '\n')
	size := len(p)
	if n >= 0 {
		size = n
	}
	switch {
	case size > c.join.max: // cut at the same place, however much of the line was read
		size = cutPoint(p, c.join.max)
		e.line = p[:size:size]
	case n >= 0:
		e.line, e.tail, e.last, size = p[:n:n], 1, true, n+1
	case !open || last:
		e.line = p
	default:
		return 0
	}
	if !c.join.add(b, e, off, off+int64(size), now) {
		return 0
	}
	return size
}

// Open implements Cutter.
func (c *Chunks) Open() int64 { return c.join.oldest() }

// Expire implements Cutter.
func (c *Chunks) Expire(b *record.Batch, now int64) {
	c.join.err = nil
	c.join.expire(b, now, false)
}

// Err implements Cutter.
func (c *Chunks) Err() error { return c.join.err }

// Skipped implements Cutter.
func (c *Chunks) Skipped() (bytes, places int64) { return c.join.skipped, c.join.places }
