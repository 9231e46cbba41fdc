// SPDX-License-Identifier: Apache-2.0

package park

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// Entry is a parked record. It carries all that made it, so that it is sent with the same identity, by another process
// too.
type Entry struct {
	Record record.Record
	// Destination is where the backend did not accept it, Reason the backend's answer, Since the time of that.
	Destination, Reason string
	Since               time.Time

	at int64 // its offset in its segment
}

// An entry on disk: its length and its checksum (CRC-32C), four bytes each in little endian, then the version and the
// fields in the order of appendEntry. Strings have their length in front, numbers are varints.
const (
	header  = 8
	version = 1
)

// maxEntry bounds what a damaged length may make us read: a record is some MiB long at most.
const maxEntry = 256 << 20

var checksums = crc32.MakeTable(crc32.Castagnoli)

const (
	flagLine = 1 << iota
	flagTruncated
	flagMarker
	flagStd // the upper bits are record.Std
)

func appendEntry(dst []byte, e *Entry) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, header)...)
	r, s := &e.Record, e.Record.Source
	dst = append(dst, version)
	for _, text := range []string{s.Stream, s.Declaration, s.Path, s.Target, e.Destination, e.Reason} {
		dst = appendText(dst, text)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Tags)-s.Origin))
	dst = binary.AppendUvarint(dst, uint64(s.Origin))
	for _, t := range s.Tags {
		dst = appendText(appendText(dst, t.Key), t.Value)
	}
	flags := uint64(r.Std) * flagStd
	if r.Line != nil {
		flags |= flagLine
	}
	if r.Truncated {
		flags |= flagTruncated
	}
	if r.Marker {
		flags |= flagMarker
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendVarint(dst, r.Time)
	dst = binary.AppendVarint(dst, r.Offset)
	dst = binary.AppendUvarint(dst, uint64(r.SameTime))
	dst = binary.AppendVarint(dst, e.Since.UnixNano())
	dst = appendText(appendText(dst, r.Line), r.Fields)
	payload := dst[at+header:]
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[at+4:], crc32.Checksum(payload, checksums))
	return dst
}

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

var (
	errDamaged = errors.New("damaged entry")
	// errSpoilt is the error of an entry that is damaged within: what follows it may be whole.
	errSpoilt  = errors.New("damaged entry")
	errVersion = errors.New("entry of an unknown version")
)

// next returns the payload of the first entry in p, and what follows it. It fails where p does not begin with a whole
// entry; with errSpoilt it returns what follows nevertheless.
func next(p []byte) (payload, rest []byte, err error) {
	if len(p) < header {
		return nil, nil, errDamaged
	}
	n := int64(binary.LittleEndian.Uint32(p))
	if n > maxEntry || n > int64(len(p)-header) {
		return nil, nil, errDamaged
	}
	payload = p[header : header+n]
	if crc32.Checksum(payload, checksums) != binary.LittleEndian.Uint32(p[4:]) {
		return nil, p[header+n:], errSpoilt
	}
	return payload, p[header+n:], nil
}

// decoder makes entries of payloads. Records of one stream and declaration share a Source, as they did.
type decoder struct {
	sources map[string]*record.Source
	p       []byte
	bad     bool
}

// decode returns the entry in payload. Its record's line and fields point into payload.
func (d *decoder) decode(payload []byte) (Entry, error) {
	if len(payload) == 0 {
		return Entry{}, errDamaged
	}
	if payload[0] != version {
		return Entry{}, errVersion
	}
	d.p, d.bad = payload[1:], false
	stream, declaration, path, target := d.text(), d.text(), d.text(), d.text()
	e := Entry{Destination: string(d.text()), Reason: string(d.text())}
	tags, origin := d.count(), d.count()
	all := make([]record.Tag, 0, min(tags+origin, 1024))
	for range tags + origin {
		all = append(all, record.Tag{Key: string(d.text()), Value: string(d.text())})
		if d.bad {
			return Entry{}, errDamaged
		}
	}
	head := payload[:len(payload)-len(d.p)]
	flags := d.uvarint()
	r := &e.Record
	r.Time, r.Offset = d.varint(), d.varint()
	r.SameTime = uint32(d.uvarint())
	e.Since = time.Unix(0, d.varint())
	line, fields := d.text(), d.text()
	if d.bad || len(d.p) > 0 {
		return Entry{}, errDamaged
	}
	if flags&flagLine != 0 {
		r.Line = line
	}
	r.Fields = fields
	r.Truncated, r.Marker, r.Std = flags&flagTruncated != 0, flags&flagMarker != 0, record.Std(flags/flagStd)
	if r.Source = d.sources[string(head)]; r.Source == nil {
		r.Source = record.NewSource(string(stream), string(declaration), string(path), string(target), all[:tags], all[tags:])
		if d.sources == nil {
			d.sources = map[string]*record.Source{}
		}
		d.sources[string(head)] = r.Source
	}
	return e, nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.p)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.p = d.p[n:]
	return v
}

// count reads a number of things of which each takes a byte at least.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.p)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) text() []byte {
	n := d.count()
	text := d.p[:n:n]
	d.p = d.p[n:]
	return text
}
