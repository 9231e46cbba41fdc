// SPDX-License-Identifier: Apache-2.0

// Package escape makes what others wrote fit to be shown: names of files and containers, labels, and answers of backends
// can hold terminal escapes, C1 and bidirectional controls, newlines that forge rows of a table, and any length.
package escape

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxShown is how many bytes of one text are shown.
const maxShown = 1000

// Text returns s on one line, with everything that is not printable as a Go escape (\n, \x1b, \u202e), cut at 1,000
// bytes.
func Text(s string) string {
	cut := len(s) > maxShown
	if cut {
		n := maxShown
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if !isPlain(s) {
		var b strings.Builder
		for i := 0; i < len(s); {
			r, size := utf8.DecodeRuneInString(s[i:])
			if strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
				b.WriteString(s[i : i+size])
			} else {
				quoted := strconv.Quote(s[i : i+size])
				b.WriteString(quoted[1 : len(quoted)-1])
			}
			i += size
		}
		s = b.String()
	}
	if cut {
		s += "…"
	}
	return s
}

// Word returns s so that it reads as one word: quoted where it is empty, or holds blanks, quotes or anything that is not
// printable; cut at 1,000 bytes.
func Word(s string) string {
	text := Text(s)
	if text == s && s != "" && !strings.ContainsAny(s, ` "`) {
		return s
	}
	return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
}

// Lines is Text for what may have several lines of our own, such as joined errors.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Text(lines[i])
	}
	return strings.Join(lines, "\n")
}

// JSON returns a JSON text with all that is not printable as \uXXXX. What is in src must be valid JSON: such characters
// occur only in its strings, where the escape means the same.
func JSON(src []byte) []byte {
	plain := true
	for _, r := range string(src) {
		if !strconv.IsPrint(r) && r != '\n' {
			plain = false
			break
		}
	}
	if plain {
		return src
	}
	out := make([]byte, 0, len(src)+64)
	for _, r := range string(src) {
		switch {
		case strconv.IsPrint(r) || r == '\n' || r == '\t' || r == '\r':
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000
			out = appendUnit(appendUnit(out, 0xd800+(r>>10)), 0xdc00+(r&0x3ff))
		default:
			out = appendUnit(out, r)
		}
	}
	return out
}

// appendUnit appends a UTF-16 unit as JSON escapes it.
func appendUnit(b []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
