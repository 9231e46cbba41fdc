// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/record"
)

// maxJSONLine bounds a line of json-file. The engine cuts messages at 16 KiB, a byte takes up to six when escaped, and the
// attributes that the operator chose come on top.
const maxJSONLine = 1 << 20

// jsonStart begins every line of json-file. It can't occur inside one, because a quote in a message is escaped.
var jsonStart = []byte(`{"log":"`)

// JSONFile cuts the files of Docker's log driver "json-file" (moby daemon/logger/jsonfilelog/jsonlog): an object with log,
// stream, attrs and time on each line. A message whose log has no newline at its end continues in the next object of its
// stream.
//
// A line that is damaged, by zeros after a power loss or by an unfinished write, is skipped up to the next object that begins
// in it, or to its end.
type JSONFile struct{ pieces }

// NewJSONFile returns a cutter for src. Its parameters are those of NewFrames.
func NewJSONFile(src *record.Source, stream io.ReaderAt, max int, timeout int64) *JSONFile {
	c := &JSONFile{newPieces(jsonFile, src, stream, max, timeout)}
	c.usual = c.usualObjects
	return c
}

// jsonFile is the decoder of JSONFile.
func jsonFile(p []byte, e *entry, _ int, last bool) (size int, v verdict) {
	if p[0] == 0 {
		return zeros(p), broken
	}
	n := bytes.IndexByte(p, '\n')
	line := p
	switch {
	case n >= 0:
		line, size = p[:n], n+1
	case last:
		size = len(p)
	case p[0] == '{' && len(p) <= maxJSONLine:
		return 0, short
	default:
		return damaged(p), broken
	}
	if e.decodeJSON(line) {
		return size, whole
	}
	if n := damaged(line); n < len(line) {
		return n, broken
	}
	return size, broken
}

// damaged returns how many bytes of a damaged line to skip: up to the next beginning of an object in it, or to the end of
// its last run of zeros, or all.
func damaged(line []byte) int {
	if len(line) == 0 {
		return 0
	}
	if i := bytes.Index(line[1:], jsonStart); i >= 0 {
		return i + 1
	}
	if i := bytes.LastIndexByte(line[:len(line)-1], 0); i >= 0 {
		return i + 1
	}
	return len(line)
}

// decodeJSON decodes line, a JSON object, and reports whether it is one. It ignores unknown members.
func (e *entry) decodeJSON(line []byte) bool {
	*e = entry{line: []byte{}}
	if len(line) < 2 || line[0] != '{' || bytes.IndexByte(line, 0) >= 0 {
		return false
	}
	for line = line[1:]; ; line = line[1:] {
		key, rest, ok := jsonString(line)
		if !ok || len(rest) < 2 || rest[0] != ':' {
			return false
		}
		if rest, ok = e.member(key, rest[1:]); !ok || len(rest) == 0 {
			return false
		}
		if line = rest; line[0] != ',' {
			break
		}
	}
	return len(line) == 1 && line[0] == '}'
}

// member decodes the value of key at the beginning of p, and returns the bytes after it.
func (e *entry) member(key, p []byte) (rest []byte, ok bool) {
	if p[0] != '"' {
		return passValue(p)
	}
	value, rest, ok := jsonString(p)
	if !ok {
		return nil, false
	}
	switch string(key) {
	case "log":
		e.line, e.partial = cutNewline(value)
		e.escaped = bytes.IndexByte(e.line, '\\') >= 0
	case "stream":
		e.std = std(value)
	case "time":
		e.timeNano, _ = parseTime(value) // if there is none, the record gets the time of reading
	}
	return rest, true
}

// cutNewline strips an escaped newline from the end of a message. partial reports that there is none.
func cutNewline(text []byte) (line []byte, partial bool) {
	n := len(text)
	if n < 2 || text[n-1] != 'n' || text[n-2] != '\\' {
		return text, true
	}
	backslashes := 1
	for n-2-backslashes >= 0 && text[n-2-backslashes] == '\\' {
		backslashes++
	}
	if backslashes%2 == 0 {
		return text, true // a backslash, and the letter
	}
	return text[: n-2 : n-2], false
}

// jsonString returns the content of the string at the beginning of p, still escaped, and what follows the string.
func jsonString(p []byte) (text, rest []byte, ok bool) {
	if len(p) == 0 || p[0] != '"' {
		return nil, nil, false
	}
	for i := 1; ; {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			return nil, nil, false
		}
		i += n + 1
		backslashes := 0
		for p[i-2-backslashes] == '\\' {
			backslashes++ // ends at the opening quote
		}
		if backslashes%2 == 0 {
			return p[1 : i-1 : i-1], p[i:], true
		}
	}
}

// passValue returns what follows the value at the beginning of p, which must not be a string.
func passValue(p []byte) (rest []byte, ok bool) {
	for depth := 0; len(p) > 0; {
		switch p[0] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return p, true
			}
			depth--
		case ',':
			if depth == 0 {
				return p, true
			}
		case '"':
			if _, p, ok = jsonString(p); !ok {
				return nil, false
			}
			continue
		}
		p = p[1:]
	}
	return nil, false
}

// appendUnescaped appends text, the content of a JSON string, with its escapes resolved. Invalid escapes are kept. The
// result is never longer than text, so dst may lie before text in the same memory.
func appendUnescaped(dst, text []byte) []byte {
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\\')
		if n < 0 || n+1 >= len(text) {
			return append(dst, text...)
		}
		dst = append(dst, text[:n]...)
		c := text[n+1]
		text = text[n+2:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
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
			r, ok := hex4(text)
			if !ok {
				dst = append(dst, '\\', c)
				continue
			}
			text = text[4:]
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
					low, _ = hex4(text[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					text = text[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, '\\', c)
		}
	}
	return dst
}

// hex4 parses four hexadecimal digits.
func hex4(p []byte) (r rune, ok bool) {
	if len(p) < 4 {
		return 0, false
	}
	for _, c := range p[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
