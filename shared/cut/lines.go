// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/record"
)

// byteOrderMark is U+FEFF in UTF-8, which some editors and loggers write at the beginning of a file.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Lines cuts at newlines. A carriage return before a newline belongs to it, and a byte order mark at the beginning of a line
// is dropped. A line longer than the limit becomes several records, all but the last marked as truncated. Between two calls
// Lines holds none of the text, only whether it is inside a hole.
type Lines struct {
	src   *record.Source
	max   int
	holes holes
}

// NewLines returns a cutter for src. A record holds at most max bytes.
func NewLines(src *record.Source, max int) *Lines { return &Lines{src: src, max: max} }

// Cut implements Cutter.
func (l *Lines) Cut(b *record.Batch, data []byte, at, now int64, last bool) int {
	pos := 0
	for pos < len(data) {
		if c := data[pos]; c == 0 {
			text, more := l.holes.skip(data, pos, 1, last)
			if pos = text; more {
				return pos
			}
		} else if c == 0xef && bytes.HasPrefix(data[pos:], byteOrderMark) {
			pos += len(byteOrderMark)
			continue
		}
		l.holes.inside = false
		n := bytes.IndexByte(data[pos:], '\n')
		switch {
		case n >= 0:
			line := data[pos : pos+n : pos+n]
			if n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			line, offset := l.pieces(b, line, at+int64(pos), now, l.max)
			l.emit(b, line, offset, now, false)
			pos += n + 1
		case last:
			rest, offset := l.pieces(b, data[pos:], at+int64(pos), now, l.max)
			l.emit(b, rest, offset, now, false)
			return len(data)
		default:
			// A line of max bytes may still end in \r\n: only two more bytes show that it is longer. So the cuts do not depend
			// on how the bytes arrive.
			rest, _ := l.pieces(b, data[pos:], at+int64(pos), now, l.max+1)
			return len(data) - len(rest)
		}
	}
	return pos
}

// pieces makes truncated records of max bytes from the beginning of line, which is at offset, while it is longer than limit.
// It returns the rest of line and its offset. Text is cut between characters.
func (l *Lines) pieces(b *record.Batch, line []byte, offset, now int64, limit int) ([]byte, int64) {
	for len(line) > limit {
		n := cutPoint(line, l.max)
		l.emit(b, line[:n:n], offset, now, true)
		line, offset = line[n:], offset+int64(n)
	}
	return line, offset
}

// cutPoint returns how many bytes of line the first record holds if a record has at most max. It cuts between characters.
func cutPoint(line []byte, max int) int {
	if len(line) <= max {
		return len(line)
	}
	for back := range utf8.UTFMax {
		if max > back && utf8.RuneStart(line[max-back]) {
			return max - back
		}
	}
	return max
}

func (l *Lines) emit(b *record.Batch, line []byte, offset, now int64, truncated bool) {
	b.Records = append(b.Records, record.Record{Line: line, Source: l.src, Time: now, Offset: offset, Truncated: truncated})
}

// Open implements Cutter. It returns -1, because no line is consumed in part.
func (l *Lines) Open() int64 { return -1 }

// Expire implements Cutter. It does nothing: an unterminated line stays unconsumed until Cut is called with last set.
func (l *Lines) Expire(*record.Batch, int64) {}

// Err implements Cutter. It returns nil, because Cut reads nothing again.
func (l *Lines) Err() error { return nil }

// Skipped implements Cutter.
func (l *Lines) Skipped() (bytes, places int64) { return l.holes.bytes, l.holes.places }
