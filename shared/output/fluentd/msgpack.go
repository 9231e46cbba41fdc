// SPDX-License-Identifier: Apache-2.0

package fluentd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/record"
)

// MessagePack (github.com/msgpack/msgpack, spec.md), as far as the forward protocol needs it.

func appendArray(dst []byte, n int) []byte { return append(dst, 0x90|byte(n)) } // up to 15

func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n < 1<<8:
		dst = append(dst, 0xd9, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
	return append(dst, s...)
}

// appendText is appendString for text that may not be valid UTF-8: invalid bytes become U+FFFD.
func appendText(dst, s []byte) []byte {
	if utf8.Valid(s) {
		return appendString(dst, s)
	}
	dst = append(dst, 0xdb, 0, 0, 0, 0)
	at := len(dst)
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, r)
		s = s[size:]
	}
	binary.BigEndian.PutUint32(dst[at-4:], uint32(len(dst)-at))
	return dst
}

func appendInt(dst []byte, n int64) []byte {
	if n >= 0 && n < 128 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(n))
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 0xc3)
	}
	return append(dst, 0xc2)
}

// beginMap begins a map whose length is not known yet; end writes it. beginArray does the same for an array.
func beginMap(dst []byte) ([]byte, int)   { return append(dst, 0xdf, 0, 0, 0, 0), len(dst) + 1 }
func beginArray(dst []byte) ([]byte, int) { return append(dst, 0xdd, 0, 0, 0, 0), len(dst) + 1 }

func end(dst []byte, at, n int) { binary.BigEndian.PutUint32(dst[at:], uint32(n)) }

// maxDepth bounds the nesting of objects and lists. Deeper values are written as text.
const maxDepth = 16

// appendJSON appends a JSON value of a record's fields. scratch is memory for strings, which is returned.
func appendJSON(dst, value, scratch []byte, depth int) (_, _ []byte) {
	if len(value) == 0 {
		return append(dst, 0xc0), scratch
	}
	switch c := value[0]; {
	case c == '"':
		scratch = record.AppendText(scratch[:0], value)
		return appendText(dst, scratch), scratch
	case c == 't' || c == 'f':
		return appendBool(dst, c == 't'), scratch
	case c == 'n':
		return append(dst, 0xc0), scratch
	case (c == '{' || c == '[') && depth < maxDepth:
		return appendNested(dst, value, scratch, depth+1)
	case c == '-' || c >= '0' && c <= '9':
		return appendNumber(dst, value), scratch
	}
	return appendText(dst, value), scratch
}

// appendNumber appends a number, as text if neither a 64-bit integer nor a float holds it.
func appendNumber(dst, value []byte) []byte {
	for _, c := range value {
		if c != '-' && (c < '0' || c > '9') {
			if f, err := strconv.ParseFloat(string(value), 64); err == nil {
				return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f))
			}
			return appendString(dst, value)
		}
	}
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return appendInt(dst, n)
	}
	if n, err := strconv.ParseUint(string(value), 10, 64); err == nil {
		return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
	}
	return appendString(dst, value)
}

func appendNested(dst, value, scratch []byte, depth int) (_, _ []byte) {
	object := value[0] == '{'
	inside := value[1 : len(value)-1]
	at, n := 0, 0
	if object {
		dst, at = beginMap(dst)
	} else {
		dst, at = beginArray(dst)
	}
	for {
		var key, item, rest []byte
		var ok bool
		if object {
			key, item, rest, ok = record.NextField(inside)
		} else {
			item, rest, ok = record.NextItem(inside)
		}
		if !ok {
			break
		}
		if object {
			scratch = record.AppendUnescaped(scratch[:0], key)
			dst = appendText(dst, scratch)
		}
		dst, scratch = appendJSON(dst, item, scratch, depth)
		inside = rest
		n++
	}
	end(dst, at, n)
	return dst, scratch
}

const (
	maxAnswer = 64 << 10 // bytes of a string
	maxItems  = 64       // of an array or a map
)

var errAnswer = errors.New("the answer is not one of the forward protocol")

// readValue reads a value from a server: a string, boolean, integer, nil, array, or map with strings as keys.
func readValue(in *bufio.Reader, depth int) (any, error) {
	c, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case c < 0x80 || c >= 0xe0:
		return int64(int8(c)), nil
	case c >= 0x80 && c < 0x90:
		return readMap(in, int(c&0x0f), depth)
	case c >= 0x90 && c < 0xa0:
		return readArray(in, int(c&0x0f), depth)
	case c >= 0xa0 && c < 0xc0:
		return readString(in, int(c&0x1f))
	case c == 0xc0:
		return nil, nil
	case c == 0xc2 || c == 0xc3:
		return c == 0xc3, nil
	}
	width, known := map[byte]int{
		0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xdc: 2, 0xde: 2,
	}[c]
	if !known {
		return nil, errAnswer
	}
	n := 0
	for range width {
		b, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		n = n<<8 | int(b)
	}
	switch c {
	case 0xcc, 0xcd, 0xce:
		return int64(n), nil
	case 0xdc:
		return readArray(in, n, depth)
	case 0xde:
		return readMap(in, n, depth)
	}
	return readString(in, n)
}

func readString(in *bufio.Reader, n int) (any, error) {
	if n > maxAnswer {
		return nil, errAnswer
	}
	p := make([]byte, n)
	_, err := io.ReadFull(in, p)
	return string(p), err
}

func readArray(in *bufio.Reader, n, depth int) (any, error) {
	if n > maxItems || depth == 0 {
		return nil, errAnswer
	}
	var all []any
	for range n {
		v, err := readValue(in, depth-1)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func readMap(in *bufio.Reader, n, depth int) (any, error) {
	if n > maxItems || depth == 0 {
		return nil, errAnswer
	}
	all := make(map[string]any, n)
	for range n {
		key, err := readValue(in, depth-1)
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, errAnswer
		}
		if all[name], err = readValue(in, depth-1); err != nil {
			return nil, err
		}
	}
	return all, nil
}
