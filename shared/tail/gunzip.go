// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
)

const (
	// maxWindow is how much of what was expanded last is kept, so that a reader may go back to the beginning of a line.
	maxWindow = 2 << 20
	// maxCursors bounds the decoders of one file; each costs about 50 KiB and its window.
	maxCursors = 4
	expandStep = 64 << 10
)

// gunzip is the content of a file that gzip made, as if it were plain. Reading forward is cheap, reading backward beyond
// the window begins anew. It is safe for concurrent use.
type gunzip struct {
	file *os.File
	mu   sync.Mutex
	// cursors are decoders at different offsets, used last first: views of one file need not be in step.
	cursors []*cursor
}

// cursor is a decoder that has expanded all up to end, and still has what lies between start and end.
type cursor struct {
	zip    *gzip.Reader
	window []byte
	start  int64
	ended  bool
}

func (c *cursor) end() int64 { return c.start + int64(len(c.window)) }

// openGunzip makes sure that f is what gzip makes, from its beginning to its trailer. size is what it expands to, by
// the trailer of RFC 1952: modulo 4 GiB, and only of the last member.
func openGunzip(f *os.File, packed int64) (g *gunzip, size int64, err error) {
	var magic [3]byte
	if packed < 18 { // RFC 1952: 10 bytes of header, 8 of trailer
		return nil, 0, errors.New("too short for a compressed file")
	}
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return nil, 0, fmt.Errorf("read the header: %w", err)
	}
	if magic != [3]byte{0x1f, 0x8b, 8} {
		return nil, 0, errors.New("not compressed by gzip")
	}
	var trailer [4]byte
	if _, err := f.ReadAt(trailer[:], packed-4); err != nil {
		return nil, 0, fmt.Errorf("read the trailer: %w", err)
	}
	return &gunzip{file: f}, int64(binary.LittleEndian.Uint32(trailer[:])), nil
}

// ReadAt implements io.ReaderAt. Its error is io.EOF at the sound end, and anything else where the file is damaged.
func (g *gunzip) ReadAt(p []byte, off int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, err := g.cursor(off)
	if err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		if at := off + int64(n); at < c.end() {
			n += copy(p[n:], c.window[at-c.start:])
			continue
		}
		if c.ended {
			return n, io.EOF
		}
		if err := c.expand(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close implements io.Closer.
func (g *gunzip) Close() error { return g.file.Close() }

// cursor is the decoder that has the shortest way to off.
func (g *gunzip) cursor(off int64) (*cursor, error) {
	best := -1
	for i, c := range g.cursors {
		if c.start <= off && (best < 0 || c.end() > g.cursors[best].end() && c.end() <= off) {
			best = i
		}
	}
	if best < 0 {
		zip, err := gzip.NewReader(io.NewSectionReader(g.file, 0, math.MaxInt64))
		if err != nil {
			return nil, fmt.Errorf("expand: %w", err)
		}
		if len(g.cursors) == maxCursors {
			g.cursors = g.cursors[:maxCursors-1]
		}
		g.cursors = append(g.cursors, &cursor{zip: zip})
		best = len(g.cursors) - 1
	}
	c := g.cursors[best]
	g.cursors = slices.Insert(slices.Delete(g.cursors, best, best+1), 0, c)
	return c, nil
}

// expand makes the window longer at its end, and forgets its beginning where it is long enough.
func (c *cursor) expand() error {
	if len(c.window) >= maxWindow {
		half := len(c.window) / 2
		c.start += int64(half)
		c.window = c.window[:copy(c.window, c.window[half:])]
	}
	from := len(c.window)
	c.window = slices.Grow(c.window, expandStep)
	n, err := c.zip.Read(c.window[from : from+expandStep])
	c.window = c.window[:from+n]
	if errors.Is(err, io.EOF) {
		c.ended = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("expand: %w", err)
	}
	return nil
}
