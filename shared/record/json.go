// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"math/bits"
	"time"
	"unicode/utf8"
)

// Encoder writes records as JSON, one object each. It caches the last second and the beginning of the last record, because
// neighbours usually share both. The zero value is ready to use. It is not safe for concurrent use.
type Encoder struct {
	second, day int64 // since 1970
	text        [len("2006-01-02T15:04:05.000000000Z")]byte
	known       bool

	// head is `{"@timestamp":"…"`, which is stamp bytes long, and the name of the line's member, for a record with this time,
	// source and Std. from is the time, in ns, at which the second of head begins.
	head   []byte
	stamp  int
	time   int64
	from   int64
	source *Source
	std    Std
}

// AppendRecord appends r as one JSON object without a newline: @timestamp, message, offset, the fields, and what the source's
// records share. It allocates only if dst has to grow.
func (e *Encoder) AppendRecord(dst []byte, r *Record) []byte {
	if r.Time != e.time || r.Source != e.source || r.Std != e.std {
		e.begin(r)
	}
	if r.Line != nil {
		dst = AppendBytes(append(dst, e.head...), r.Line)
		if r.Std != NoStd && r.Source.shape.StdLine != "" && !r.Truncated {
			dst = append(dst[:len(dst)-1], `\n"`...)
		}
	} else {
		dst = append(dst, e.head[:e.stamp]...)
	}
	if r.Source.shape.Time {
		dst = e.appendShapeTime(dst, r)
	}
	if name := r.Source.offset; name != nil {
		dst = appendDecimal(append(dst, name...), r.Offset)
	}
	if r.Truncated {
		dst = append(dst, r.Source.truncated...)
	}
	if len(r.Fields) > 0 {
		dst = append(dst, ',')
		dst = append(dst, r.Fields...)
	}
	return append(dst, r.Source.tail[r.Std]...)
}

// headTime is the length of what precedes the time in a head.
const headTime = len(`{"@timestamp":"`)

// begin makes the head of records like r.
func (e *Encoder) begin(r *Record) {
	same := r.Source == e.source && r.Std == e.std && len(e.head) > 0 && e.from <= e.time // unless from overflowed
	e.time, e.source, e.std = r.Time, r.Source, r.Std
	if since := r.Time - e.from; same && r.Time >= e.from && uint64(since) < 1e9 { // within the same second
		putFraction(e.head[headTime:], since)
		return
	}
	e.head = append(e.AppendTime(append(e.head[:0], `{"@timestamp":"`...), r.Time), '"')
	e.stamp, e.from = len(e.head), e.second*1e9
	e.head = append(e.head, r.Source.line[r.Std]...)
}

// JSONSize estimates the length of the records' JSON, assuming that little has to be escaped.
func JSONSize(records []Record) int {
	const members = len(`{"@timestamp":"2006-01-02T15:04:05.000000000Z","message":"","offset":123456789012,`)
	size := members * len(records)
	for i := range records {
		r := &records[i]
		size += len(r.Line) + len(r.Line)/32 + len(r.Fields) + len(r.Source.tail[r.Std])
	}
	return size
}

// AppendTime appends ns since 1970 as RFC 3339 in UTC with nine digits, without quotes. Years outside 0 to 9999, which
// int64 nanoseconds can't reach, do not occur.
func (e *Encoder) AppendTime(dst []byte, ns int64) []byte {
	sec, frac := ns/1e9, ns%1e9
	if frac < 0 {
		sec, frac = sec-1, frac+1e9
	}
	if !e.known || sec != e.second {
		e.setSecond(sec)
	}
	putFraction(e.text[:], frac)
	return append(dst, e.text[:]...)
}

// setSecond writes the time of day to text, and the date only if it has changed.
func (e *Encoder) setSecond(sec int64) {
	day, of := sec/86400, sec%86400
	if of < 0 {
		day, of = day-1, of+86400
	}
	if !e.known || day != e.day {
		time.Unix(day*86400, 0).UTC().AppendFormat(e.text[:0], "2006-01-02T15:04:05.000000000Z")
	}
	putTwo(e.text[len("2006-01-02T"):], of/3600)
	putTwo(e.text[len("2006-01-02T15:"):], of/60%60)
	putTwo(e.text[len("2006-01-02T15:04:"):], of%60)
	e.second, e.day, e.known = sec, day, true
}

// putTwo writes v < 100 as two digits.
func putTwo(text []byte, v int64) {
	_ = text[1]
	text[0], text[1] = byte('0'+v/10), byte('0'+v%10)
}

// putFraction writes the nanoseconds of a second into a time.
func putFraction(text []byte, ns int64) {
	const digits = len("2006-01-02T15:04:05.")
	text = text[digits : digits+9]
	text[0] = byte('0' + ns/1e8)
	binary.LittleEndian.PutUint64(text[1:], eightDigits(uint64(ns%1e8)))
}

// appendShapeTime appends the member of Shape.Time.
func (e *Encoder) appendShapeTime(dst []byte, r *Record) []byte {
	return append(e.AppendShapeTime(append(dst, `,"time":"`...), r), '"')
}

// AppendShapeTime appends the text of the member of Shape.Time.
func (e *Encoder) AppendShapeTime(dst []byte, r *Record) []byte {
	if r.Std != NoStd {
		return e.AppendTime(dst, r.Time)
	}
	return time.Unix(0, r.Time).AppendFormat(dst, "2006-01-02T15:04:05.000000000")
}

// AppendString is AppendBytes for a string.
func AppendString(dst []byte, s string) []byte { return AppendBytes(dst, []byte(s)) }

// AppendBytes appends p as a quoted JSON string (RFC 8259, section 7). The result is always valid JSON, and no byte of p is
// dropped: control characters, including NUL, are escaped, and each byte that is not part of valid UTF-8 becomes U+FFFD.
func AppendBytes(dst, p []byte) []byte {
	n := len(dst)
	dst = room(dst, n, len(p))
	dst[n] = '"'
	n++
	for sparse := wide; ; {
		if sparse {
			read, written := escapeWide(dst[n:len(dst)-1], p) // the last byte is for the quote at the end
			p, n = p[read:], n+written
			sparse = read >= 8 // if much has to be escaped, the call costs more than it saves
		} else {
			k := copyPlain(dst[n:], p)
			p, n = p[k:], n+k
			sparse = wide && k >= 8
		}
		if len(p) == 0 {
			dst[n] = '"'
			return dst[:n+1]
		}
		if len(dst)-n < len(p)+slack {
			dst = room(dst, n, len(p))
		}
		switch c := p[0]; {
		case c == '"' || c == '\\': // by far the most frequent, so without a call
			dst[n], dst[n+1] = '\\', c
			n, p = n+2, p[1:]
		case c >= utf8.RuneSelf:
			dst, n, p = putRunes(dst, n, p)
		case c < ' ':
			n += putEscape(dst[n:], c)
			p = p[1:]
		}
	}
}

// slack is the number of bytes that AppendBytes keeps free beyond the rest of the string: copyPlain may overrun by a word,
// escapeWide needs 64, an escape takes six, and the closing quote one.
const slack = 72

// room returns dst, extended to its capacity, with at least more+slack bytes behind the first n, which it keeps.
func room(dst []byte, n, more int) []byte {
	if cap(dst)-n < more+slack {
		dst = append(dst[:n], make([]byte, more+slack)...)
	}
	return dst[:cap(dst)]
}

// copyPlain copies to dst the bytes at the beginning of p that stand for themselves in a JSON string (printable ASCII except
// quote and backslash), and returns their number. It may overwrite up to seven bytes behind them, so dst must hold len(p)+8
// bytes.
//
// It works on eight bytes at a time. A bit of the mask is set at a byte that needs escaping or, because of a borrow, above
// one, so the lowest bit set is exact.
func copyPlain(dst, p []byte) int {
	n := 0
	dst = dst[:len(p)+8]
	for ; n+8 <= len(p); n += 8 {
		w := binary.LittleEndian.Uint64(p[n : n+8])
		binary.LittleEndian.PutUint64(dst[n:n+8], w)
		if mask := Special(w); mask != 0 {
			return n + bits.TrailingZeros64(mask)/8
		}
	}
	if n == len(p) {
		return n
	}
	if n > 0 { // The rest is the upper part of the last eight bytes. What is shifted in is zero, and so special.
		w := binary.LittleEndian.Uint64(p[len(p)-8:]) >> (8 * (8 - (len(p) - n)))
		binary.LittleEndian.PutUint64(dst[n:], w)
		return n + bits.TrailingZeros64(Special(w))/8
	}
	for n < len(p) && isPlain(p[n]) {
		dst[n] = p[n]
		n++
	}
	return n
}

// Special returns a mask in which the highest bit of a byte is set if that byte of w does not stand for itself in a JSON
// string. Bits above the lowest one set may be wrong. Inverting bit 1 turns the quote into 0x20, so that one comparison finds
// both the quote and control characters.
func Special(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	return (((w ^ ones*0x02) - ones*0x21) | ((w ^ ones*'\\') - ones) | w) & highs
}

func isPlain(c byte) bool { return c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' }

// putEscape writes the escape of the control character c to dst and returns its length, two or six bytes.
func putEscape(dst []byte, c byte) int {
	const hex = "0123456789abcdef"
	dst = dst[:6]
	dst[0] = '\\'
	switch c {
	case '\n':
		dst[1] = 'n'
	case '\r':
		dst[1] = 'r'
	case '\t':
		dst[1] = 't'
	default:
		dst[1], dst[2], dst[3], dst[4], dst[5] = 'u', '0', '0', hex[c>>4], hex[c&15]
		return 6
	}
	return 2
}

// putRunes writes the non-ASCII bytes at the beginning of p to dst[n:], and returns dst, which may have grown, the new n and
// the rest of p.
func putRunes(dst []byte, n int, p []byte) ([]byte, int, []byte) {
	for len(p) > 0 && p[0] >= utf8.RuneSelf {
		if len(p) >= 3 && p[0]-0xe1 < 0xed-0xe1 && p[1]&0xc0 == 0x80 && p[2]&0xc0 == 0x80 {
			// U+1000 to U+CFFF, most of what is not Latin: three bytes without a special case.
			dst[n], dst[n+1], dst[n+2] = p[0], p[1], p[2]
			n, p = n+3, p[3:]
			continue
		}
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			if len(dst)-n < len(p)+slack {
				dst = room(dst, n, len(p))
			}
			n += copy(dst[n:], `\ufffd`)
		} else {
			n += copy(dst[n:], p[:size])
		}
		p = p[size:]
	}
	return dst, n, p
}
