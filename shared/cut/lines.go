// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/record"
)

// byteOrderMark is U+FEFF in UTF-8, which some editors and loggers write at the beginning of a file.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Lines cuts at newlines; a carriage return before the newline belongs to it, and a byte order mark at the beginning of a
// line is left out. A line longer than the limit comes as
// several records, all but the last marked as truncated. Nothing of it is held between two calls, except the knowledge of
// being inside a hole.
type Lines struct {
	src   *record.Source
	max   int
	holes holes
}

// NewLines makes a cutter for src whose records hold at most max bytes.
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
			// A line of max bytes may still end in \r\n: only with two bytes more it is known to be longer. So the same
			// cuts are made however the bytes come in.
			rest, _ := l.pieces(b, data[pos:], at+int64(pos), now, l.max+1)
			return len(data) - len(rest)
		}
	}
	return pos
}

// pieces makes truncated records of max bytes of the beginning of line, which is at offset, while it is longer than
// limit, and returns what is left of it and its offset. Text is cut between characters.
func (l *Lines) pieces(b *record.Batch, line []byte, offset, now int64, limit int) ([]byte, int64) {
	for len(line) > limit {
		n := cutPoint(line, l.max)
		l.emit(b, line[:n:n], offset, now, true)
		line, offset = line[n:], offset+int64(n)
	}
	return line, offset
}

// cutPoint is how much of line the first record holds where one has at most max bytes. Text is cut between characters.
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

// Open implements Cutter: lines are consumed whole.
func (l *Lines) Open() int64 { return -1 }

// Expire implements Cutter: an unterminated line is held until the stream says that nothing follows.
func (l *Lines) Expire(*record.Batch, int64) {}

// Err implements Cutter: lines are made of what was given.
func (l *Lines) Err() error { return nil }

// Skipped implements Cutter.
func (l *Lines) Skipped() (bytes, places int64) { return l.holes.bytes, l.holes.places }
