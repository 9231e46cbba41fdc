// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/record"
)

// entry is a LogEntry (moby api/types/plugins/logdriver/entry.proto). Its slices point into the bytes it was decoded
// from.
type entry struct {
	line     []byte
	id       []byte // of the message of which this is a piece
	timeNano int64
	std      record.Std
	partial  bool
	last     bool // the last piece
	tail     int  // bytes of the entry behind the line
	escaped  bool // line is the text of a JSON string, with backslashes in it
}

// appendText appends the entry's text to dst. dst may be the memory that the entry was decoded from, up to its beginning.
func (e *entry) appendText(dst []byte) []byte {
	if e.escaped {
		return appendUnescaped(dst, e.line)
	}
	return append(dst, e.line...)
}

// trimReturn strips a carriage return from the end of the line, so that it does not count towards the size limit.
func (e *entry) trimReturn() {
	if n := len(e.line); n > 1 && e.line[n-1] == '\r' && e.line[n-2] != '\r' {
		e.line = e.line[:n-1]
		e.tail++
	}
}

// timeOr returns the engine's time, or now if the engine gave none.
func (e *entry) timeOr(now int64) int64 {
	if e.timeNano > 0 {
		return e.timeNano
	}
	return now
}

// plausible reports whether the entry, which decodes, also has a time and a standard stream: arbitrary bytes seldom do.
func (e *entry) plausible() bool { return e.std != record.NoStd && e.timeNano > 0 }

// decode decodes an entry of size bytes. p holds all of it or its beginning. The verdict is whole, short (p is a sound
// beginning) or broken. Unknown fields are skipped: the engine's LogEntry has grown before, and will again.
func (e *entry) decode(p []byte, size int) verdict {
	*e = entry{}
	for pos := 0; pos < size; {
		tag, n := uvarint(p[pos:])
		if n <= 0 {
			return shortOr(n, len(p) < size)
		}
		pos += n
		if tag>>3 == 0 {
			return broken
		}
		var value uint64
		var field []byte
		switch tag & 7 {
		case frame.VarintType, frame.BytesType:
			if value, n = uvarint(p[pos:]); n <= 0 {
				return shortOr(n, len(p) < size)
			}
			pos += n
			if tag&7 == frame.BytesType {
				if value > uint64(size-pos) {
					return broken
				}
				if value > uint64(len(p)-pos) {
					return e.beginning(tag, p[pos:])
				}
				field = p[pos : pos+int(value) : pos+int(value)]
				pos += int(value)
			}
		case frame.Fixed64Type:
			pos += 8
		case frame.Fixed32Type:
			pos += 4
		default:
			return broken
		}
		if pos > size {
			return broken
		}
		if pos > len(p) {
			return short
		}
		switch tag {
		case frame.SourceTag:
			e.std = std(field)
		case frame.TimeTag:
			e.timeNano = int64(value)
		case frame.LineTag:
			e.line = field
		case frame.PartialTag:
			e.partial = value != 0
		case frame.MetadataTag:
			if !e.decodeMetadata(field) {
				return broken
			}
		}
	}
	if e.line == nil {
		e.line = []byte{} // proto3 omits an empty field; the line is there all the same
	}
	return whole
}

// common decodes an entry of the form that the engine nearly always writes: source, time and line in this order, and nothing
// else. It reports whether p has this form.
func (e *entry) common(p []byte) bool {
	const source = len("stdout")
	if len(p) < 2+source+1 || p[0] != frame.SourceTag || p[1] != byte(source) || p[2+source] != frame.TimeTag {
		return false
	}
	which := std(p[2 : 2+source])
	at := 3 + source
	nano, n := uvarint(p[at:])
	at += n
	if which == record.NoStd || n <= 0 || at >= len(p) || p[at] != frame.LineTag {
		return false
	}
	size, n := uvarint(p[at+1:])
	if at += 1 + n; n <= 0 || size != uint64(len(p)-at) {
		return false
	}
	*e = entry{line: p[at:len(p):len(p)], timeNano: int64(nano), std: which}
	return true
}

// beginning judges a field that extends beyond the bytes at hand.
func (e *entry) beginning(tag uint64, p []byte) verdict {
	const longest = len("stdout")
	if tag == frame.SourceTag && len(p) >= longest {
		return broken // no source is longer, so its length is damaged
	}
	return short
}

func (e *entry) decodeMetadata(p []byte) bool {
	for pos := 0; pos < len(p); {
		tag, n := uvarint(p[pos:])
		if n <= 0 || tag>>3 == 0 {
			return false
		}
		pos += n
		var value uint64
		switch tag & 7 {
		case frame.VarintType, frame.BytesType:
			if value, n = uvarint(p[pos:]); n <= 0 {
				return false
			}
			pos += n
		case frame.Fixed64Type:
			pos += 8
		case frame.Fixed32Type:
			pos += 4
		default:
			return false
		}
		if pos > len(p) || tag&7 == frame.BytesType && value > uint64(len(p)-pos) {
			return false
		}
		switch tag {
		case frame.LastTag:
			e.last = value != 0
		case frame.IDTag:
			e.id = p[pos : pos+int(value)]
		}
		if tag&7 == frame.BytesType {
			pos += int(value)
		}
	}
	return true
}

func std(source []byte) record.Std {
	switch string(source) {
	case "stdout":
		return record.Stdout
	case "stderr":
		return record.Stderr
	}
	return record.NoStd
}

// uvarint is binary.Uvarint with a fast path for one byte. The second result is the number of bytes read; it is 0 if p ends
// too early, and negative if the number is too large.
func uvarint(p []byte) (uint64, int) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), 1
	}
	var v uint64
	for i, c := range p {
		if i == 10 || i == 9 && c > 1 {
			return 0, -1
		}
		if c < 0x80 {
			return v | uint64(c)<<(7*i), i + 1
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	return 0, 0
}

func shortOr(n int, cut bool) verdict {
	if n == 0 && cut {
		return short
	}
	return broken
}
