// SPDX-License-Identifier: Apache-2.0

// Package gunzip reads a file that gzip compressed as if it were plain: at any offset, and while the file still grows.
package gunzip

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	// maxWindow is how many expanded bytes are kept, so that a reader can return to the beginning of a line.
	maxWindow = 2 << 20
	// maxCursors bounds the decoders of one file. Each costs about 50 KiB and its window.
	maxCursors = 4
	expandStep = 64 << 10
	// A file that ended within a member must have grown by 1/regrowth of the member's compressed bytes before the member is
	// expanded again, so that all attempts together cost only a few times as much as expanding it once.
	regrowth   = 4
	headerSize = 18 // RFC 1952: at least 10 bytes of header and 8 of trailer
)

// ErrTorn is the error of a read if the file ends within a compressed member, so that more may still be written. It is returned
// after all bytes that could be expanded.
var ErrTorn = errors.New("the compressed file ends too early")

// ErrFormat is the error of New for a file that is not compressed by gzip.
var ErrFormat = errors.New("not compressed by gzip")

// readError is the error of a read of the compressed file.
type readError struct{ err error }

func (e *readError) Error() string { return "read compressed file: " + e.err.Error() }

func (e *readError) Unwrap() error { return e.err }

// IsRead reports whether an error of ReadAt means that the file could not be read, which may be temporary, rather than that its
// compressed data is damaged.
func IsRead(err error) bool {
	var e *readError
	return errors.As(err, &e)
}

// File is the open file that a Reader reads.
type File interface {
	io.ReaderAt
	io.Closer
}

// Reader reads the content of a compressed file. Reading forward is cheap; reading backward beyond the window expands a member
// again. It is safe for concurrent use.
type Reader struct {
	file    File
	mu      sync.Mutex
	size    int64
	settled bool // the file is not growing at present
	// cursors are decoders at different offsets, the last used one first: several readers of a file may be at different places.
	cursors  []*cursor
	furthest Progress
}

// Progress is how far a file was expanded.
type Progress struct {
	Expanded int64 // bytes of content
	Consumed int64 // compressed bytes that were needed for that
	Complete bool  // that is all of the file at its present size
}

// New returns a Reader of file, which has size bytes. It checks that the file begins like one compressed by gzip.
func New(file File, size int64) (*Reader, error) {
	if size < headerSize {
		return nil, fmt.Errorf("%w: too short", ErrFormat)
	}
	var magic [3]byte
	if _, err := file.ReadAt(magic[:], 0); err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if magic != [3]byte{0x1f, 0x8b, 8} {
		return nil, ErrFormat
	}
	return &Reader{file: file, size: size}, nil
}

// File returns the compressed file.
func (r *Reader) File() File { return r.file }

// Grow tells the reader the file's size after it has grown. Reading continues where the file had ended.
func (r *Reader) Grow(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if size > r.size {
		r.size, r.settled, r.furthest.Complete = size, false, false
	}
}

// Settle tells the reader that the file does not grow at present, so that it expands an incomplete member again even if the file
// has grown only a little.
func (r *Reader) Settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = true
}

// Progress returns how far the file was expanded by any reader.
func (r *Reader) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.furthest
}

// ReadAt implements io.ReaderAt. Its error is io.EOF if the file ends with a complete member, ErrTorn if it ends within a member,
// and another one if it is damaged or can't be read.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cursor(off)
	n := 0
	for n < len(p) {
		if at := off + int64(n); at < c.end() {
			n += copy(p[n:], c.window[at-c.start:])
			continue
		}
		if err := c.expand(r.file, r.size, r.settled); err != nil {
			r.progress(c, errors.Is(err, io.EOF))
			return n, err
		}
		r.progress(c, false)
	}
	return n, nil
}

func (r *Reader) progress(c *cursor, complete bool) {
	if c.end() > r.furthest.Expanded || complete {
		r.furthest = Progress{max(c.end(), r.furthest.Expanded), c.consumed(), complete}
	}
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// begin returns a decoder that begins with the last member that is known to begin at or before off.
func (r *Reader) begin(off int64) *cursor {
	n := &cursor{}
	for _, c := range r.cursors {
		if c.from <= off && c.from > n.from {
			n.member, n.from, n.start = c.member, c.from, c.from
		}
	}
	return n
}

// cursor returns the decoder to read at off: one whose window holds off, or else the one that has expanded most before off. It makes
// a new one if there is none.
func (r *Reader) cursor(off int64) *cursor {
	best := -1
	for i, c := range r.cursors {
		if c.start > off {
			continue
		}
		if off < c.end() { // another one would have to expand what this one has
			best = i
			break
		}
		if best < 0 || c.end() > r.cursors[best].end() {
			best = i
		}
	}
	if best < 0 {
		if len(r.cursors) == maxCursors {
			r.cursors = r.cursors[:maxCursors-1]
		}
		r.cursors = append(r.cursors, r.begin(off))
		best = len(r.cursors) - 1
	}
	c := r.cursors[best]
	r.cursors = slices.Insert(slices.Delete(r.cursors, best, best+1), 0, c)
	return c
}
