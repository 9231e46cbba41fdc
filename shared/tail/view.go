// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/stream"
)

// view is a file as one declaration reads it on its way to one output. It implements stream.Stream.
type view struct {
	file *file
	id   viewID
	// proof is what was read last. Only its reader changes it, holding file.mu for reading, so that the tailer may look
	// at it while it holds file.mu for writing.
	proof    proof
	read     int64 // how far it was read; guarded as proof is
	released atomic.Int64
	ended    atomic.Int64 // where it was told that nothing follows, or -1
	// ending says that what is there now is all there will be, dropped that the pipeline was asked to let go of it.
	ending, dropped atomic.Bool
	done            atomic.Bool // the pipeline has let go of it
	last            []byte      // the mark that was made last; file.mu guards it
	detach          func()
}

var _ stream.Stream = (*view)(nil)

// Key implements stream.Stream.
func (v *view) Key() string { return v.file.key }

// End implements stream.Stream.
func (v *view) End() int64 { return v.file.end.Load() }

// Ended implements stream.Stream.
func (v *view) Ended() bool { return v.ending.Load() || v.file.gone.Load() }

// ReadAt implements stream.Stream. It reads up to End and no further: so much of the file was found to be of one piece.
// After each read it makes sure that the bytes read before are still where they were, for if they are not, the file was
// truncated and written anew, and those just read belong to another stream.
func (v *view) ReadAt(p []byte, off int64) (int, error) {
	f := v.file
	f.mu.RLock()
	defer f.mu.RUnlock()
	end := f.end.Load()
	switch {
	case f.limbo:
		return 0, nil
	case f.lost != "" && off < end:
		return 0, &stream.Gap{From: off, To: end, Records: -1, Bytes: end - off, Reason: f.lost}
	case off >= end:
		if f.lost != "" || v.ending.Load() {
			v.ended.Store(off)
			return 0, io.EOF
		}
		return 0, nil
	case f.body == nil:
		f.ask(&f.wanted)
		return 0, nil
	}
	if !f.packed {
		p = p[:min(int64(len(p)), end-off)]
	}
	n, err := f.body.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		if f.packed {
			f.ask(&f.suspect)
		}
		return 0, fmt.Errorf("read %s at offset %d: %w", f, off, err)
	}
	if f.packed {
		return v.unpacked(n, off, err)
	}
	same, err := v.proof.holds(f.body)
	if err != nil {
		return 0, fmt.Errorf("read %s at offset %d: %w", f, off, err)
	}
	if !same || n == 0 {
		f.ask(&f.suspect)
		return 0, nil
	}
	v.proof.extend(p[:n], off)
	v.read = max(v.read, off+int64(n))
	if off+int64(n) == end && v.ending.Load() {
		v.ended.Store(end)
		return n, io.EOF
	}
	return n, nil
}

// unpacked is ReadAt for a compressed file: how much it expands to is known for certain only at its end.
func (v *view) unpacked(n int, off int64, err error) (int, error) {
	f := v.file
	to := off + int64(n)
	v.read = max(v.read, to)
	if errors.Is(err, io.EOF) {
		f.end.Store(to)
		v.ended.Store(to)
		return n, io.EOF
	}
	if end := f.end.Load(); to >= end {
		f.end.CompareAndSwap(end, to+1) // there is more than it says: look again
	}
	return n, nil
}

// ask sets a flag for the tailer and wakes it.
func (f *file) ask(flag *atomic.Bool) {
	if !flag.Swap(true) {
		f.wake()
	}
}

// Mark implements stream.Stream. A mark is only made of bytes that are known to be the stream's: while that is in doubt,
// or they can't be read, the one before stands, which does not hold for what has replaced them.
func (v *view) Mark(off int64) ([]byte, error) {
	f := v.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.body == nil || f.limbo || f.lost != "" {
		return v.last, nil
	}
	m, err := f.mark(off)
	same := f.packed
	if err == nil && !f.packed {
		same, err = f.provenBy(f.body, f.end.Load())
	}
	if err == nil && same {
		v.last = m.encode()
	}
	if v.last != nil {
		return v.last, nil
	}
	return nil, err
}

// Release implements stream.Stream.
func (v *view) Release(off int64) { v.released.Store(off) }
