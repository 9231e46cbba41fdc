// SPDX-License-Identifier: Apache-2.0

package gunzip

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
)

// cursor is a decoder that has expanded the content up to end, and still has the content from start to end.
type cursor struct {
	source source
	input  *bufio.Reader
	zip    *gzip.Reader // nil between two members
	window []byte
	start  int64

	member   int64 // offset in the compressed file at which the current member begins
	from     int64 // offset in the content of the member's first byte
	repeated int64 // number of bytes of the member that were expanded before and are skipped
	tornAt   int64 // the file's size when it ended within the member; 0 if it has not
	err      error // of a damaged member; final
}

func (c *cursor) end() int64 { return c.start + int64(len(c.window)) }

// consumed returns how many compressed bytes were needed for the content up to end.
func (c *cursor) consumed() int64 {
	switch {
	case c.tornAt > 0:
		return c.tornAt
	case c.zip == nil && c.err == nil:
		return c.member
	}
	return c.source.at - int64(c.input.Buffered())
}

// source reads a file up to a size.
type source struct {
	file     io.ReaderAt
	at, size int64
	failed   error // of a read, which says nothing about the compressed data
}

func (s *source) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	n, err := s.file.ReadAt(p[:min(int64(len(p)), s.size-s.at)], s.at)
	s.at += int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == nil, errors.Is(err, io.EOF): // the file was truncated meanwhile
		return 0, io.EOF
	}
	s.failed = err
	return 0, err
}

// expand extends the window at its end, and drops its first half if it has reached maxWindow. It returns io.EOF if the file ends
// with a member, and ErrTorn if it ends within one.
func (c *cursor) expand(file io.ReaderAt, size int64, settled bool) error {
	if c.err != nil {
		return c.err
	}
	if c.zip == nil {
		if err := c.open(file, size, settled); err != nil {
			return err
		}
	}
	if len(c.window) >= maxWindow {
		half := len(c.window) / 2
		c.start += int64(half)
		c.window = c.window[:copy(c.window, c.window[half:])]
	}
	from := len(c.window)
	c.window = slices.Grow(c.window, expandStep)
	n, err := c.zip.Read(c.window[from : from+expandStep])
	if skip := min(int64(n), c.repeated); skip > 0 {
		copy(c.window[from:from+expandStep], c.window[from+int(skip):from+n])
		c.repeated -= skip
		n -= int(skip)
	}
	c.window = c.window[:from+n]
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		c.zip = nil
		c.member = c.source.at - int64(c.input.Buffered())
		c.from, c.tornAt = c.end(), 0
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = c.torn(size)
	default:
		err = c.damaged(err)
	}
	if n > 0 {
		return nil // the expanded bytes are read first; the next call returns the error
	}
	return err
}

// torn notes that the file ends within the member. The decoder can't continue after that: once the file has grown, the member is
// expanded from its beginning, and what was expanded before is skipped.
func (c *cursor) torn(size int64) error {
	c.zip = nil
	c.tornAt = size
	return ErrTorn
}

func (c *cursor) damaged(err error) error {
	if c.source.failed != nil { // reading failed: the next call expands the member again
		c.zip, c.tornAt = nil, 0
		return &readError{c.source.failed}
	}
	c.err = fmt.Errorf("expand: %w", err)
	return c.err
}

// open begins the next member, or the current one again.
func (c *cursor) open(file io.ReaderAt, size int64, settled bool) error {
	enough := (c.tornAt - c.member) / regrowth
	if settled {
		enough = 0
	}
	if c.tornAt > 0 && size-c.tornAt <= enough {
		return ErrTorn
	}
	padded, err := padding(file, c.member, size)
	if err != nil {
		return err
	}
	if padded == size && size > 0 {
		return io.EOF // RFC 1952 has no padding, but gzip ignores trailing zeros, which tapes and block devices leave
	}
	c.member = padded
	c.source = source{file: file, at: c.member, size: size}
	if c.input == nil {
		c.input = bufio.NewReader(&c.source)
	} else {
		c.input.Reset(&c.source)
	}
	c.repeated = c.end() - c.from
	zip, err := gzip.NewReader(c.input)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return c.torn(size)
	case err != nil && c.member > 0:
		return c.damaged(fmt.Errorf("what follows byte %d is not compressed by gzip", c.member))
	case err != nil:
		return c.damaged(err)
	}
	zip.Multistream(false)
	c.zip, c.tornAt = zip, 0
	return nil
}

// padding returns the offset of the first byte at or after from that is not zero.
func padding(file io.ReaderAt, from, size int64) (int64, error) {
	var buf [4 << 10]byte
	for from < size {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
		for i, b := range buf[:n] {
			if b != 0 {
				return from + int64(i), nil
			}
		}
		from += int64(n)
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return from, nil
			}
			return from, &readError{err}
		}
	}
	return from, nil
}
