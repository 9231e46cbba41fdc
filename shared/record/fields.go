// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// EachField calls f for each member of fields, a Record's Fields, in order, until f returns false. key is the text between the
// quotes, still escaped if it holds a backslash: AppendUnescaped decodes it. value is JSON, which AppendText turns into plain
// text. Both point into fields.
func EachField(fields []byte, f func(key, value []byte) bool) {
	for {
		key, value, rest, ok := NextField(fields)
		if !ok || !f(key, value) {
			return
		}
		fields = rest
	}
}

// NextField splits the first member off fields; ok is false if there is none. It allocates nothing. For text that is not a
// list of members the result is meaningless, but it neither panics nor loops.
func NextField(fields []byte) (key, value, rest []byte, ok bool) {
	i := skipSpace(fields, 0)
	if i < len(fields) && fields[i] == ',' {
		i = skipSpace(fields, i+1)
	}
	if i >= len(fields) || fields[i] != '"' {
		return nil, nil, nil, false
	}
	end := skipString(fields, i)
	if end-i < 2 {
		return nil, nil, nil, false
	}
	key = fields[i+1 : end-1]
	i = skipSpace(fields, end)
	if i >= len(fields) || fields[i] != ':' {
		return nil, nil, nil, false
	}
	i = skipSpace(fields, i+1)
	end = skipValue(fields, i)
	return key, fields[i:end], fields[end:], end > i
}

// NextItem splits the first element off items, the text between the brackets of a JSON array; ok is false if there is none. It
// is to arrays what NextField is to objects.
func NextItem(items []byte) (value, rest []byte, ok bool) {
	i := skipSpace(items, 0)
	if i < len(items) && items[i] == ',' {
		i = skipSpace(items, i+1)
	}
	end := skipValue(items, i)
	return items[i:end], items[end:], end > i
}

// AppendText appends a JSON value as plain text: the content of a string, and the JSON of any other value.
func AppendText(dst, value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return append(dst, value...)
	}
	return AppendUnescaped(dst, value[1:len(value)-1])
}

// AppendUnescaped appends the decoded text of s, the inside of a JSON string. Half of a surrogate pair becomes U+FFFD.
func AppendUnescaped(dst, s []byte) []byte {
	for {
		n := bytes.IndexByte(s, '\\')
		if n < 0 || n+1 >= len(s) {
			return append(dst, s...)
		}
		dst = append(dst, s[:n]...)
		s = s[n+1:]
		switch c := s[0]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, size := unescapeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[size:]
			continue
		default:
			dst = append(dst, c)
		}
		s = s[1:]
	}
}

// unescapeRune decodes the uXXXX at the beginning of s, with the second half of a surrogate pair if it follows.
func unescapeRune(s []byte) (r rune, size int) {
	r, ok := hex4(s[1:])
	if !ok {
		return utf8.RuneError, 1
	}
	if !utf16.IsSurrogate(r) {
		return r, 5
	}
	if len(s) >= 11 && s[5] == '\\' && s[6] == 'u' {
		if low, ok := hex4(s[7:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 11
			}
		}
	}
	return utf8.RuneError, 5
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index just past the string that begins with the quote at p[i].
func skipString(p []byte, i int) int {
	for i++; i < len(p); i++ {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			break
		}
		i += n
		slashes := i
		for slashes > 0 && p[slashes-1] == '\\' {
			slashes--
		}
		if (i-slashes)%2 == 0 {
			return i + 1
		}
	}
	return len(p)
}

// skipValue returns the index just past the value that begins at p[i].
func skipValue(p []byte, i int) int {
	depth := 0
	for i < len(p) {
		switch p[i] {
		case '"':
			i = skipString(p, i)
			if depth == 0 {
				return i
			}
		case '{', '[':
			depth++
			i++
		case '}', ']':
			i++
			if depth--; depth <= 0 {
				return i
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			i++
		default:
			i++
		}
	}
	return i
}
