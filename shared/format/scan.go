// SPDX-License-Identifier: Apache-2.0

package format

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/record"
)

// maxDepth bounds the nesting of arrays and objects below a line's object.
const maxDepth = 128

// scanner validates JSON (RFC 8259) in one pass. Its methods take the index at which something begins and return the index
// after it, or -1: then what and at say what is wrong, and where.
type scanner struct {
	p    []byte
	what string
	at   int
	// unclean means that a string held invalid UTF-8 or half a surrogate pair, or that a number is larger than backends accept.
	// breaks means that there was a line break between tokens. Both must be cleaned before the text can be part of a record.
	unclean, breaks bool
}

func (s *scanner) fail(what string, at int) int {
	s.what, s.at = what, at
	return -1
}

// skip skips white space.
func (s *scanner) skip(i int) int {
	if i < len(s.p) && s.p[i] > ' ' {
		return i
	}
	return s.skipMore(i)
}

func (s *scanner) skipMore(i int) int {
	for i < len(s.p) {
		switch s.p[i] {
		case ' ', '\t':
		case '\n', '\r':
			s.breaks = true
		default:
			return i
		}
		i++
	}
	return i
}

func (s *scanner) value(i, depth int) int {
	if i >= len(s.p) {
		return s.fail("a value was expected", i)
	}
	switch c := s.p[i]; c {
	case '"':
		return s.text(i + 1)
	case '{':
		return s.object(i+1, depth+1)
	case '[':
		return s.array(i+1, depth+1)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

func (s *scanner) literal(i int, word string) int {
	if len(s.p)-i < len(word) || string(s.p[i:i+len(word)]) != word {
		return s.fail("a value was expected", i)
	}
	return i + len(word)
}

func (s *scanner) number(i int) int {
	p, start := s.p, i
	if p[i] == '-' {
		i++
	}
	switch {
	case i < len(p) && p[i] == '0':
		i++
	case i < len(p) && isDigit(p[i]):
		i = digits(p, i)
	case i == start:
		return s.fail("a value was expected", i)
	default:
		return s.fail("a number ends too soon", i)
	}
	if i < len(p) && p[i] == '.' {
		if i++; i == len(p) || !isDigit(p[i]) {
			return s.fail("a number ends too soon", i)
		}
		i = digits(p, i)
	}
	if i < len(p) && p[i]|0x20 == 'e' {
		if i++; i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		if i == len(p) || !isDigit(p[i]) {
			return s.fail("a number ends too soon", i)
		}
		i = digits(p, i)
		s.unclean = s.unclean || isWide(p[start:i])
	} else if i-start > maxDigits {
		s.unclean = s.unclean || isWide(p[start:i])
	}
	return i
}

// maxDigits is the number of digits that always fit into an int64.
const maxDigits = 18

// isWide reports whether Elasticsearch would refuse a JSON number, and the record with it: an integer beyond an int64, or a
// value beyond a float64.
func isWide(number []byte) bool {
	text := string(number)
	if !strings.ContainsAny(text, ".eE") {
		_, err := strconv.ParseInt(text, 10, 64)
		return err != nil
	}
	_, err := strconv.ParseFloat(text, 64)
	return err != nil
}

func digits(p []byte, i int) int {
	for i < len(p) && isDigit(p[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// text scans the string whose inside begins at i.
func (s *scanner) text(i int) int {
	p := s.p
	for {
		for ; i+8 <= len(p); i += 8 {
			if mask := record.Special(binary.LittleEndian.Uint64(p[i : i+8])); mask != 0 {
				i += bits.TrailingZeros64(mask) / 8
				break
			}
		}
		if i == len(p) {
			return s.fail("a string does not end", i)
		}
		switch c := p[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i); i < 0 {
				return i
			}
		case c < 0x20:
			return s.fail("a string has a control character", i)
		case c < utf8.RuneSelf: // one of the last bytes, which are fewer than eight
			i++
		default:
			i = s.runes(i)
		}
	}
}

func (s *scanner) escape(i int) int {
	if i+1 < len(s.p) {
		switch s.p[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			return i + 2
		case 'u':
			for n := 2; n < 6; n++ {
				if i+n >= len(s.p) || !isHex(s.p[i+n]) {
					return s.fail("an escape is not complete", i)
				}
			}
			if s.p[i+2]|0x20 == 'd' && s.p[i+3] >= '8' {
				return s.surrogate(i)
			}
			return i + 6
		}
	}
	return s.fail("a backslash escapes nothing", i)
}

// surrogate scans an escape of half a pair, and the other half if it follows.
func (s *scanner) surrogate(i int) int {
	if pairLength(s.p[i:]) == 12 {
		return i + 12
	}
	s.unclean = true
	return i + 6
}

// pairLength returns the length of the escape at the beginning of p, \uHHHH, with the second half of its pair if it begins
// one: 6 or 12, or 0 if it is only half a pair.
func pairLength(p []byte) int {
	switch high := p[3] | 0x20; {
	case p[2]|0x20 != 'd' || p[3] < '8':
		return 6
	case high >= 'c': // the second half of a pair
		return 0
	}
	if len(p) < 12 || p[6] != '\\' || p[7] != 'u' || p[8]|0x20 != 'd' || p[9]|0x20 < 'c' || p[9]|0x20 > 'f' || !isHex(p[10]) || !isHex(p[11]) {
		return 0
	}
	return 12
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// runes skips characters outside ASCII.
func (s *scanner) runes(i int) int {
	for i < len(s.p) && s.p[i] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(s.p[i:])
		if r == utf8.RuneError && size == 1 {
			s.unclean = true
		}
		i += size
	}
	return i
}

// object scans an object below the line's own; i is just after its brace.
func (s *scanner) object(i, depth int) int {
	if depth > maxDepth {
		return s.fail("values are nested too deep", i)
	}
	if i = s.skip(i); i < len(s.p) && s.p[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(s.p) || s.p[i] != '"' {
			return s.fail("a member was expected", i)
		}
		if i = s.text(i + 1); i < 0 {
			return i
		}
		if i = s.skip(i); i >= len(s.p) || s.p[i] != ':' {
			return s.fail("a colon was expected", i)
		}
		if i = s.value(s.skip(i+1), depth); i < 0 {
			return i
		}
		i = s.skip(i)
		switch {
		case i < len(s.p) && s.p[i] == ',':
			i = s.skip(i + 1)
		case i < len(s.p) && s.p[i] == '}':
			return i + 1
		default:
			return s.fail("a comma or the end of an object was expected", i)
		}
	}
}

// array scans an array; i is just after its bracket.
func (s *scanner) array(i, depth int) int {
	if depth > maxDepth {
		return s.fail("values are nested too deep", i)
	}
	if i = s.skip(i); i < len(s.p) && s.p[i] == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth); i < 0 {
			return i
		}
		i = s.skip(i)
		switch {
		case i < len(s.p) && s.p[i] == ',':
			i = s.skip(i + 1)
		case i < len(s.p) && s.p[i] == ']':
			return i + 1
		default:
			return s.fail("a comma or the end of an array was expected", i)
		}
	}
}

// appendClean appends valid JSON without white space between its tokens. Each byte of its strings that is not valid UTF-8, and
// each half of a surrogate pair, becomes U+FFFD, and wide numbers become strings.
func appendClean(dst, p []byte) []byte {
	inside := false
	for i := 0; i < len(p); {
		c := p[i]
		switch {
		case !inside && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			i++
			continue
		case c == '"':
			inside = !inside
		case c == '\\' && p[i+1] == 'u':
			n := pairLength(p[i:])
			if n == 0 {
				dst, n = append(dst, `\ufffd`...), 6
			} else {
				dst = append(dst, p[i:i+n]...)
			}
			i += n
			continue
		case c == '\\':
			dst = append(dst, c, p[i+1])
			i += 2
			continue
		case !inside && (c == '-' || isDigit(c)):
			n := tokenLength(p[i:])
			if number := p[i : i+n]; isWide(number) {
				dst = append(append(append(dst, '"'), number...), '"')
			} else {
				dst = append(dst, number...)
			}
			i += n
			continue
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(p[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		dst = append(dst, c)
		i++
	}
	return dst
}
