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

// cursor is a decoder that has expanded all up to end, and still has what lies between start and end.
type cursor struct {
	source source
	input  *bufio.Reader
	zip    *gzip.Reader // nil between two members
	window []byte
	start  int64

	member   int64 // where the member begins that is expanded, in the compressed file
	from     int64 // the offset of the member's first byte in the content
	repeated int64 // so many bytes of the member were expanded before, and are skipped
	tornAt   int64 // the file's size when it ended within the member; 0 while it has not
	err      error // of a damaged member; final
}

func (c *cursor) end() int64 { return c.start + int64(len(c.window)) }

// consumed returns how many compressed bytes were needed for what was expanded.
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
	failed   error // of a read, which says nothing about what is compressed
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
	case err == nil, errors.Is(err, io.EOF): // it was truncated meanwhile
		return 0, io.EOF
	}
	s.failed = err
	return 0, err
}

// expand makes the window longer at its end, and forgets its beginning where it is long enough. It returns io.EOF where
// the file ends with a member, and ErrTorn where it ends within one.
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
		return nil // what was expanded is read first; the next call returns the error
	}
	return err
}

// torn notes that the file ends within the member. The decoder can't continue after that: when the file has grown, the member
// is expanded from its beginning, and what was read of it is skipped.
func (c *cursor) torn(size int64) error {
	c.zip = nil
	c.tornAt = size
	return ErrTorn
}

func (c *cursor) damaged(err error) error {
	if c.source.failed != nil { // the disk's fault: the member is expanded again at the next read
		c.zip, c.tornAt = nil, 0
		return &readError{c.source.failed}
	}
	c.err = fmt.Errorf("expand: %w", err)
	return c.err
}

// open begins a member.
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
		return io.EOF // RFC 1952 knows no padding, but gzip itself takes zeros for it: tapes and blocks leave them
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

// padding returns where the zeros end that are at offset from.
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
