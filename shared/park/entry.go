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
//
// Version 1 had no recipe but stream, declaration, path, target and tags: it is read, not written.
const (
	header  = 8
	version = 2
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
	dst = appendRecipe(append(dst, version), e.Record.Source.Recipe())
	dst = appendText(appendText(dst, e.Destination), e.Reason)
	r := &e.Record
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

func appendRecipe(dst []byte, r record.Recipe) []byte {
	for _, text := range []string{r.Stream, r.Declaration, r.Path, r.Target, r.Index, r.Topic, r.Pipeline, r.Container, r.Shape.StdLine, r.Store.Project, r.Writer} {
		dst = appendText(dst, text)
	}
	var flags uint64
	for i, set := range []bool{r.Shape.Time, r.Without.Source, r.Without.Offset, r.Without.Stream} {
		if set {
			flags |= 1 << i
		}
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(r.Store.Shards)), uint64(r.Store.TTL))
	dst = binary.AppendUvarint(dst, uint64(r.Origin))
	for _, pairs := range [][]record.Tag{r.Tags, r.Names, r.Shape.Objects} {
		dst = binary.AppendUvarint(dst, uint64(len(pairs)))
		for _, t := range pairs {
			dst = appendText(appendText(dst, t.Key), t.Value)
		}
	}
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
func (d *decoder) decode(payload []byte) (e Entry, err error) {
	if len(payload) == 0 {
		return e, errDamaged
	}
	var recipe record.Recipe
	d.p, d.bad = payload[1:], false
	switch payload[0] {
	case 1:
		recipe, e.Destination, e.Reason = d.first()
	case version:
		recipe = d.recipe()
	default:
		return e, errVersion
	}
	if d.bad || recipe.Origin > len(recipe.Tags) {
		return e, errDamaged
	}
	head := payload[:len(payload)-len(d.p)]
	if payload[0] != 1 {
		e.Destination, e.Reason = string(d.text()), string(d.text())
	}
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
	if r.Std > record.Stderr {
		return Entry{}, errDamaged
	}
	r.Source = d.source(head, &recipe)
	return e, nil
}

// source returns the source that r makes, which head is the text of.
func (d *decoder) source(head []byte, r *record.Recipe) *record.Source {
	s := d.sources[string(head)]
	if s == nil {
		s = r.Source()
		if d.sources == nil {
			d.sources = map[string]*record.Source{}
		}
		d.sources[string(head)] = s
	}
	return s
}

func (d *decoder) recipe() (r record.Recipe) {
	for _, to := range []*string{&r.Stream, &r.Declaration, &r.Path, &r.Target, &r.Index, &r.Topic, &r.Pipeline, &r.Container,
		&r.Shape.StdLine, &r.Store.Project, &r.Writer} {
		*to = string(d.text())
	}
	flags := d.uvarint()
	for i, set := range []*bool{&r.Shape.Time, &r.Without.Source, &r.Without.Offset, &r.Without.Stream} {
		*set = flags&(1<<i) != 0
	}
	r.Store.Shards, r.Store.TTL = int(d.uvarint()), int(d.uvarint())
	r.Origin = d.count()
	r.Tags, r.Names, r.Shape.Objects = d.pairs(d.count()), d.pairs(d.count()), d.pairs(d.count())
	return r
}

// first reads what an entry of version 1 begins with. What made its source otherwise is not known.
func (d *decoder) first() (r record.Recipe, destination, reason string) {
	for _, to := range []*string{&r.Stream, &r.Declaration, &r.Path, &r.Target, &destination, &reason} {
		*to = string(d.text())
	}
	declared := d.count()
	r.Origin = d.count()
	r.Tags = d.pairs(declared + r.Origin)
	r.Index, r.Topic = r.Target, r.Target
	for _, t := range r.Tags[:max(0, len(r.Tags)-r.Origin)] {
		switch t.Key {
		case "index":
			r.Index = t.Value
		case "topic":
			r.Topic = t.Value
		case "pipeline":
			r.Pipeline = t.Value
		}
	}
	return r, destination, reason
}

// pairs reads n tags.
func (d *decoder) pairs(n int) []record.Tag {
	if n == 0 {
		return nil
	}
	all := make([]record.Tag, 0, min(n, 1024))
	for range n {
		all = append(all, record.Tag{Key: string(d.text()), Value: string(d.text())})
		if d.bad {
			return nil
		}
	}
	return all
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
