// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// slack is the room that unescape needs beyond the length of the text: unescapeWide writes 64 bytes at a time.
const slack = 64

// appendUsual returns arena and the unescaped text of a JSON string. The result is text itself if nothing in it is escaped,
// and is otherwise appended to arena. It is nil if text ends within an escape, or holds a quote, a control character or an
// escape that does not stand for one ASCII character.
func appendUsual(arena, text []byte) ([]byte, []byte) {
	from := len(arena)
	arena = slices.Grow(arena, len(text)+slack)
	dst := arena[from : from+len(text)+slack]
	for n, at := 0, 0; ; {
		read, written := unescape(dst[at:], text[n:])
		n, at = n+read, at+written
		if n == len(text) {
			if at == n {
				return arena, text
			}
			return arena[:from+at], dst[:at:at]
		}
		c, size := usualEscape(text[n:])
		if size == 0 {
			return arena, nil
		}
		dst[at] = c
		n, at = n+size, at+1
	}
}

// unescape copies the beginning of p to dst, up to the first byte that usualEscape must decide about. dst must have room for
// slack bytes more than p. unescape may itself drop the backslash before a quote.
func unescape(dst, p []byte) (read, written int) {
	if wide {
		return unescapeWide(dst, p)
	}
	n := copyText(dst, p)
	return n, n
}

// usualEscape decodes the escape at the beginning of p. size is 0 unless it stands for one ASCII character.
func usualEscape(p []byte) (c byte, size int) {
	if len(p) < 2 || p[0] != '\\' {
		return 0, 0
	}
	switch p[1] {
	case '"', '\\', '/':
		return p[1], 2
	case 'n':
		return '\n', 2
	case 't':
		return '\t', 2
	case 'r':
		return '\r', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'u':
		if r, ok := hex4(p[2:]); ok && r < 0x80 {
			return byte(r), 6
		}
	}
	return 0, 0
}

// copyText copies to dst the bytes at the beginning of p up to a quote, backslash or control character, and returns their
// number. It may overwrite up to seven bytes of dst behind them.
func copyText(dst, p []byte) (n int) {
	dst = dst[:len(p)+8]
	for ; n+8 <= len(p); n += 8 {
		w := binary.LittleEndian.Uint64(p[n : n+8])
		binary.LittleEndian.PutUint64(dst[n:n+8], w)
		if mask := special(w); mask != 0 {
			return n + bits.TrailingZeros64(mask)/8
		}
	}
	for n < len(p) && p[n] >= ' ' && p[n] != '"' && p[n] != '\\' {
		dst[n] = p[n]
		n++
	}
	return n
}

// special returns a mask in which the highest bit of a byte is set if that byte of w is a quote, a backslash or a control
// character. Bits above the lowest one set may be wrong. Inverting bit 1 turns the quote into 0x20, so that one comparison
// finds both the quote and control characters.
func special(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	low, slash := w^ones*0x02, w^ones*'\\'
	return ((low-ones*0x21)&^low | (slash-ones)&^slash) & highs
}
