package record

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encoder writes records as JSON, one object each. It remembers the second that it wrote last, because neighbours mostly
// share it. The zero value is ready; it is not for concurrent use.
type Encoder struct {
	second int64
	prefix [len("2006-01-02T15:04:05.")]byte
	known  bool
}

// AppendRecord appends r as one JSON object without a newline: @timestamp, message, offset, the fields, and what the
// source's records share. It allocates only where dst has to grow.
func (e *Encoder) AppendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = e.AppendTime(dst, r.Time)
	dst = append(dst, '"')
	if r.Line != nil {
		dst = append(dst, `,"message":`...)
		dst = AppendBytes(dst, r.Line)
	}
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	if r.Truncated {
		dst = append(dst, `,"truncated":true`...)
	}
	if len(r.Fields) > 0 {
		dst = append(dst, ',')
		dst = append(dst, r.Fields...)
	}
	return append(dst, r.Source.tail[r.Std]...)
}

// AppendTime appends ns since 1970 as RFC 3339 in UTC with nine digits, without quotes. Years outside 0 to 9999, which
// int64 nanoseconds can't reach, do not occur.
func (e *Encoder) AppendTime(dst []byte, ns int64) []byte {
	sec, frac := ns/1e9, ns%1e9
	if frac < 0 {
		sec, frac = sec-1, frac+1e9
	}
	if !e.known || sec != e.second {
		time.Unix(sec, 0).UTC().AppendFormat(e.prefix[:0], "2006-01-02T15:04:05.")
		e.second, e.known = sec, true
	}
	dst = append(dst, e.prefix[:]...)
	var digits [10]byte
	for i := 8; i >= 0; i-- {
		digits[i] = byte('0' + frac%10)
		frac /= 10
	}
	digits[9] = 'Z'
	return append(dst, digits[:]...)
}

// AppendString is AppendBytes for a string.
func AppendString(dst []byte, s string) []byte { return AppendBytes(dst, []byte(s)) }

// AppendBytes appends p as a JSON string in quotes (RFC 8259, section 7). Every byte of p leaves its trace: control
// characters, NUL among them, are escaped, and each byte that is not part of valid UTF-8 becomes U+FFFD, so that the
// result is always valid JSON.
func AppendBytes(dst, p []byte) []byte {
	dst = append(dst, '"')
	for {
		n := plain(p)
		dst = append(dst, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return append(dst, '"')
		}
		n, dst = appendSpecial(dst, p)
		p = p[n:]
	}
}

// plain is how many bytes at the beginning of p stand for themselves in a JSON string: printable ASCII but quote and
// backslash. Eight bytes at a time; a bit of the mask is set at (or, by a borrow, above) a byte that needs care, so the
// lowest set bit is exact.
func plain(p []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for len(p)-n >= 8 {
		w := binary.LittleEndian.Uint64(p[n:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		mask := (w - ones*0x20) | (quote - ones) | (slash - ones) | w
		if mask &= highs; mask != 0 {
			return n + bits.TrailingZeros64(mask)/8
		}
		n += 8
	}
	for n < len(p) {
		if c := p[n]; c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
			break
		}
		n++
	}
	return n
}

// appendSpecial appends what stands for the character at the beginning of p and returns how many bytes of p that was.
// Valid multi-byte text is passed on a run at a time.
func appendSpecial(dst, p []byte) (int, []byte) {
	const hex = "0123456789abcdef"
	switch c := p[0]; {
	case c == '"' || c == '\\':
		return 1, append(dst, '\\', c)
	case c == '\n':
		return 1, append(dst, `\n`...)
	case c == '\r':
		return 1, append(dst, `\r`...)
	case c == '\t':
		return 1, append(dst, `\t`...)
	case c < 0x20:
		return 1, append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	case c < 0x80:
		return 1, append(dst, c)
	}
	n := 0
	for n < len(p) && p[n] >= 0x80 {
		r, size := utf8.DecodeRune(p[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	if n == 0 {
		return 1, append(dst, `\ufffd`...)
	}
	return n, append(dst, p[:n]...)
}
