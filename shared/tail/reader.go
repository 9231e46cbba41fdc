// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
	"github.com/remora-logs/remora/shared/tail/gunzip"
)

// reader reads a generation for one declaration and one output. It implements stream.Stream.
type reader struct {
	generation *generation
	id         readerID
	// proof covers the bytes that were last read. Only ReadAt changes it, and holds generation.mu for reading meanwhile, so
	// that a step may read it while it holds generation.mu for writing.
	proof    fingerprint.Proof
	from     int64 // the offset at which it began
	order    int64
	read     atomic.Int64
	released atomic.Int64
	ended    atomic.Int64 // the offset at which it returned io.EOF, or -1
	// lastOff and lastTo delimit the last read of a compressed file, and gap is the gap at its premature end. They are guarded as
	// proof is.
	lastOff, lastTo int64
	gap             *stream.Gap
	// ending means that the present end of the file is final, detached that the pipeline was asked to detach the reader,
	// done that it has.
	ending, detached, done atomic.Bool
	last                   []byte // the last mark; generation.mu guards it
	detach                 func()

	device  *device                // set for a file system that may not answer; nil for a local one
	reading *remoteRead            // a read that was begun and that ReadAt has not returned yet
	turn    turn                   // device guards it
	marking bool                   // a mark is being made or queued; device guards it
	marked  atomic.Pointer[[]byte] // the last mark, if device is set
}

var _ stream.Stream = (*reader)(nil)

// Key implements stream.Stream.
func (r *reader) Key() string { return r.generation.key }

// Order returns the generation number. A file's is lower than its successor's, across restarts too.
func (r *reader) Order() int64 { return r.order }

// End implements stream.Stream.
func (r *reader) End() int64 { return r.generation.end.Load() }

// Ended implements stream.Stream.
func (r *reader) Ended() bool { return r.ending.Load() || r.generation.gone.Load() }

// ReadAt implements stream.Stream. It reads no further than End, up to which the file was observed to be one generation.
// After each read it checks that the bytes read before are still in place. If they are not, the file was truncated and
// rewritten, and the bytes just read belong to another stream.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	patience := remotePatience
	return r.ReadAtWithin(p, off, &patience)
}

func (r *reader) readNow(p []byte, off int64) (int, error) {
	g := r.generation
	g.mu.RLock()
	defer g.mu.RUnlock()
	end := g.end.Load()
	switch {
	case g.searching:
		return 0, nil
	case g.lost != "" && off < end:
		return 0, &stream.Gap{From: off, To: end, Records: -1, Bytes: end - off, Reason: g.lost}
	case off >= end:
		return r.atEnd(off)
	case g.body == nil:
		g.ask(&g.wanted)
		return 0, nil
	case g.packed:
		return r.readPacked(p, off)
	}
	p = p[:min(int64(len(p)), end-off)]
	n, err := g.body.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read %s at offset %d: %w", g, off, err)
	}
	same, err := r.proof.Holds(g.body)
	if err != nil {
		return 0, fmt.Errorf("read %s at offset %d: %w", g, off, err)
	}
	if !same || n == 0 {
		g.ask(&g.suspect)
		return 0, nil
	}
	r.proof.Extend(p[:n], off)
	r.advance(off + int64(n))
	if off+int64(n) == end && r.ending.Load() {
		r.ended.Store(end)
		return n, io.EOF
	}
	return n, nil
}

func (r *reader) atEnd(off int64) (int, error) {
	if r.generation.lost != "" || r.ending.Load() {
		r.ended.Store(off)
		return 0, io.EOF
	}
	return 0, nil
}

// Follow lets the reader skip bytes that another reader of the same generation has read, and takes over that reader's proof.
// It returns false if a read may be in progress, or if the file is compressed, because then reads determine the length of
// the stream.
func (r *reader) Follow(_, to int64) bool {
	g := r.generation
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.device != nil || g.packed {
		return false
	}
	proof := g.furthest()
	if proof.At < to {
		return false // without a proof a truncation would go unnoticed
	}
	r.proof = *proof
	r.advance(to)
	return true
}

func (r *reader) advance(to int64) {
	if to > r.read.Load() {
		r.read.Store(to)
	}
}

// readPacked is ReadAt for a compressed file. Its expanded size is known only at its end, and a file that ends within a
// compressed member may still grow.
func (r *reader) readPacked(p []byte, off int64) (int, error) {
	g := r.generation
	n, err := g.body.ReadAt(p, off)
	to := off + int64(n)
	again := off == r.lastOff && to == r.lastTo
	r.lastOff, r.lastTo = off, to
	if n > 0 {
		r.advance(to)
	}
	if end := g.end.Load(); to >= end && !errors.Is(err, io.EOF) {
		g.end.CompareAndSwap(end, to+1) // the estimate was too low
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		g.end.Store(to)
		if r.ending.Load() {
			r.ended.Store(to)
			return n, io.EOF
		}
		return n, nil
	case n > 0 && !again: // deliver what could be expanded first
		if r.gap != nil && to > r.gap.To {
			r.gap = nil
		}
		g.ask(&g.suspect)
		return n, nil
	}
	return r.torn(off, to, err)
}

// torn returns the result of a read at off when a compressed file can't be expanded beyond at and nothing new was read.
// While the file may still grow, that is no bytes. Once the rest is given up, it is a gap from off on, which includes an
// unterminated last line.
func (r *reader) torn(off, at int64, err error) (int, error) {
	g := r.generation
	if !errors.Is(err, gunzip.ErrTorn) && g.torn == "" {
		g.ask(&g.suspect)
		return 0, fmt.Errorf("read %s at offset %d: %w", g, off, err)
	}
	switch {
	case g.torn == "":
		g.ask(&g.suspect)
		return 0, nil
	case r.gap != nil && off >= r.gap.From && off < r.gap.To:
		return 0, r.gap
	case r.gap != nil && off >= r.gap.To || at > 0 && off == at && r.from == at: // the gap was reported, perhaps before a restart
		g.end.Store(off)
		return r.atEnd(off)
	}
	r.gap = &stream.Gap{From: off, To: max(at, off+1), Records: -1, Bytes: max(at-off, 1), Reason: g.torn}
	g.end.Store(max(g.end.Load(), r.gap.To))
	return 0, r.gap
}

// Mark implements stream.Stream. It makes a mark only of bytes that are known to be the stream's. If that is in doubt, or
// they can't be read, it returns the previous mark, which does not match bytes that have replaced them.
func (r *reader) Mark(off int64) ([]byte, error) {
	if r.device != nil {
		return r.markRemote(off)
	}
	return r.markNow(off)
}

func (r *reader) markNow(off int64) ([]byte, error) {
	g := r.generation
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.body == nil || g.searching || g.lost != "" {
		return r.last, nil
	}
	m, err := g.mark(off)
	same := g.packed
	if err == nil && !g.packed {
		same, err = g.holds(g.body, g.end.Load())
	}
	if err == nil && same {
		r.last = m.Encode()
	}
	if r.last != nil {
		return r.last, nil
	}
	return nil, err
}

// Release implements stream.Stream.
func (r *reader) Release(off int64) { r.released.Store(off) }
