// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/remora-logs/remora/shared/record"
)

// Encoded cuts the lines of text that is not UTF-8, and decodes each into the batch's arena. It finds newlines before it
// decodes, so offsets are those of the file. Bytes that are invalid in the encoding become U+FFFD.
type Encoded struct {
	src     *record.Source
	max     int
	unit    int // bytes of a newline: 2 for UTF-16, else 1
	big     bool
	sniff   bool // the byte order is not known yet
	decoder *encoding.Decoder
	holes   holes
}

// NewEncoded returns a cutter for src. name is the encoding's, one of the labels of the WHATWG Encoding Standard. A record
// holds the text of at most max bytes of the file. For "utf-16" the byte order mark at the beginning of the file gives the
// byte order, or else the positions of zero bytes.
func NewEncoded(name string, src *record.Source, max int) (*Encoded, error) {
	e := &Encoded{src: src, max: max &^ 3, unit: 1}
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "utf-16", "utf16":
		e.sniff = true
		e.order(false)
	case "utf-16le", "utf16le":
		e.order(false)
	case "utf-16be", "utf16be":
		e.order(true)
	default:
		enc, err := htmlindex.Get(name)
		if err != nil {
			return nil, fmt.Errorf("encoding %q is not known", name)
		}
		// All of these, ISO-2022-JP included, use 0x0A for the newline alone: their second bytes begin at 0x21 or above.
		e.decoder = enc.NewDecoder()
	}
	return e, nil
}

func (e *Encoded) order(big bool) {
	e.unit, e.big = 2, big
	order := unicode.LittleEndian
	if big {
		order = unicode.BigEndian
	}
	e.decoder = unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder()
}

// Cut implements Cutter.
func (e *Encoded) Cut(b *record.Batch, data []byte, at, now int64, last bool) int {
	pos := e.begin(data, at)
	for pos < len(data) {
		if data[pos] == 0 {
			text, more := e.holes.skip(data, pos, e.unit, last)
			if pos = text; more && !(last && pos < len(data)) {
				return pos
			}
		}
		e.holes.inside = false
		n := e.newline(data[pos:])
		switch {
		case n >= 0:
			e.pieces(b, data[pos:pos+n], at+int64(pos), now, true)
			pos += n + e.unit
		case last:
			whole := (len(data) - pos) &^ (e.unit - 1)
			if odd := len(data) - pos - whole; odd > 0 {
				e.holes.bytes += int64(odd)
				e.holes.places++
			}
			if whole > 0 {
				e.pieces(b, data[pos:pos+whole], at+int64(pos), now, true)
			}
			return len(data)
		default:
			return pos + e.pieces(b, data[pos:], at+int64(pos), now, false)
		}
	}
	return pos
}

// begin determines the byte order of UTF-16, and returns how many bytes to skip: the byte order mark at the beginning of the
// file, or half a character if the file is read from an odd offset.
func (e *Encoded) begin(data []byte, at int64) (skip int) {
	if e.unit == 1 || len(data) < 2 {
		return 0
	}
	if odd := int(at & 1); odd > 0 {
		return odd
	}
	if e.sniff {
		text := bytes.TrimLeft(data, "\x00") // a hole does not show the byte order
		text = data[(len(data)-len(text))&^1:]
		little, big := marks(text)
		if e.sniff = len(text) < 2; !e.sniff {
			e.order(big || !little && zerosAt(text, 0) > zerosAt(text, 1))
		}
	}
	if little, big := marks(data); at == 0 && (little || big) {
		return 2
	}
	return 0
}

// marks reports whether data begins with a byte order mark of UTF-16, little-endian or big-endian.
func marks(data []byte) (little, big bool) {
	if len(data) < 2 {
		return false, false
	}
	return data[0] == 0xff && data[1] == 0xfe, data[0] == 0xfe && data[1] == 0xff
}

// zerosAt counts the zeros in every second byte of data's first 4 KiB, from index from. In Latin text they are the high bytes.
func zerosAt(data []byte, from int) (n int) {
	for i := from; i < min(len(data), 4<<10); i += 2 {
		if data[i] == 0 {
			n++
		}
	}
	return n
}

// newline returns the index of the first newline in data, or -1. data begins with a whole character.
func (e *Encoded) newline(data []byte) int {
	if e.unit == 1 {
		return bytes.IndexByte(data, '\n')
	}
	want := [2]byte{'\n', 0}
	if e.big {
		want = [2]byte{0, '\n'}
	}
	for from := 0; ; {
		i := bytes.Index(data[from:], want[:])
		if i < 0 {
			return -1
		}
		if i += from; i&1 == 0 {
			return i
		}
		from = i + 1
	}
}

// pieces decodes line into one record, or several if it is over the limit, and returns the number of bytes decoded. If whole
// is not set, more of the line may follow, and pieces decodes only what is certainly over the limit.
func (e *Encoded) pieces(b *record.Batch, line []byte, offset, now int64, whole bool) (used int) {
	limit := e.max
	if !whole {
		limit += 2 * e.unit // a line of max bytes may still end in \r\n
	}
	for len(line)-used > limit {
		n := e.piece(line[used : used+e.max])
		e.emit(b, line[used:used+n], offset+int64(used), now, true)
		used += n
	}
	if whole {
		e.emit(b, line[used:], offset+int64(used), now, false)
		used = len(line)
	}
	return used
}

// piece returns the length of p without a character that is incomplete at its end.
func (e *Encoded) piece(p []byte) int {
	var dst [4 << 10]byte
	e.decoder.Reset()
	n := 0
	for n < len(p) {
		_, nSrc, err := e.decoder.Transform(dst[:], p[n:], false)
		n += nSrc
		if err != transform.ErrShortDst {
			break
		}
	}
	if n == 0 {
		return len(p) &^ (e.unit - 1)
	}
	return n
}

// emit decodes text to the end of the arena, and appends a record of it.
func (e *Encoded) emit(b *record.Batch, text []byte, offset, now int64, truncated bool) {
	from := len(b.Arena)
	e.decoder.Reset()
	for {
		b.Arena = grow(b.Arena, 2*len(text)+16)
		nDst, nSrc, err := e.decoder.Transform(b.Arena[len(b.Arena):cap(b.Arena)], text, true)
		b.Arena = b.Arena[:len(b.Arena)+nDst]
		text = text[nSrc:]
		if err == transform.ErrShortDst && (nDst > 0 || nSrc > 0) {
			continue
		}
		if err == nil || len(text) == 0 {
			break
		}
		// The decoder neither accepts these bytes nor replaces them itself.
		b.Arena = append(b.Arena, "\uFFFD"...)
		text = text[min(e.unit, len(text)):]
		e.decoder.Reset()
	}
	line := bytes.TrimPrefix(b.Arena[from:len(b.Arena):len(b.Arena)], byteOrderMark)
	if !truncated && len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	b.Records = append(b.Records, record.Record{Line: line, Source: e.src, Time: now, Offset: offset, Truncated: truncated})
}

// grow returns p with a capacity for n more bytes.
func grow(p []byte, n int) []byte {
	if cap(p)-len(p) >= n {
		return p
	}
	q := make([]byte, len(p), 2*cap(p)+n)
	copy(q, p)
	return q
}

// Open implements Cutter. It returns -1, because no line is consumed in part.
func (e *Encoded) Open() int64 { return -1 }

// Expire implements Cutter. It does nothing: an unterminated line stays unconsumed until Cut is called with last set.
func (e *Encoded) Expire(*record.Batch, int64) {}

// Err implements Cutter. It returns nil, because Cut reads nothing again.
func (e *Encoded) Err() error { return nil }

// Skipped implements Cutter.
func (e *Encoded) Skipped() (bytes, places int64) { return e.holes.bytes, e.holes.places }
