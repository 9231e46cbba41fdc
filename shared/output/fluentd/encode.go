// SPDX-License-Identifier: Apache-2.0

package fluentd

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"

	"github.com/klauspost/compress/gzip"

	"github.com/remora-logs/remora/shared/record"
)

// maxSources bounds the sources whose members are cached, because containers come and go.
const maxSources = 10_000

// encoder encodes messages of the mode PackedForward (Forward Protocol Specification v1):
//
//	[tag, entries, {"size": n, "chunk": id, "compressed": "gzip"}]
//
// where entries is a sequence of arrays of time and map. It is used by one goroutine at a time.
type encoder struct {
	subSecond, ack, gzip bool

	sources map[*record.Source]*shared
	entries []byte
	out     []byte
	text    []byte
	id      []byte
	times   record.Encoder
	packed  sink
	zip     *gzip.Writer
}

// sink is a writer that appends to a slice.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// shared holds what the records of a source have in common: members of their maps, and their number.
type shared struct {
	members []byte
	count   int
}

func newEncoder(c *Config) *encoder {
	return &encoder{subSecond: c.SubSecond, ack: c.Ack, gzip: c.Compression == "gzip", sources: make(map[*record.Source]*shared)}
}

// appendEntry appends r as an entry: its time, and the members of its JSON except the time.
func (e *encoder) appendEntry(dst []byte, r *record.Record) []byte {
	dst = append(dst, 0x92)
	seconds, nanos := r.Time/1e9, r.Time%1e9
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1e9
	}
	if e.subSecond {
		dst = append(dst, 0xd7, 0) // EventTime
		dst = binary.BigEndian.AppendUint32(dst, uint32(seconds))
		dst = binary.BigEndian.AppendUint32(dst, uint32(nanos))
	} else {
		dst = binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(seconds))
	}
	dst, at := beginMap(dst)
	n := 0
	names := r.Source.Members()
	switch {
	case r.Line == nil:
	case names.Newline[r.Std]:
		e.text = r.AppendLine(e.text[:0])
		dst = appendText(appendString(dst, names.Line[r.Std]), e.text)
		n++
	default:
		dst = appendText(appendString(dst, names.Line[r.Std]), r.Line)
		n++
	}
	if names.Time != "" {
		e.text = e.times.AppendShapeTime(e.text[:0], r)
		dst = appendText(appendString(dst, names.Time), e.text)
		n++
	}
	if !names.Without.Offset {
		dst = appendInt(appendString(dst, names.Offset), r.Offset)
		n++
	}
	if r.Truncated {
		dst = appendBool(appendString(dst, names.Truncated), true)
		n++
	}
	for rest := r.Fields; ; n++ {
		key, value, after, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = after
		e.text = record.AppendUnescaped(e.text[:0], key)
		dst = appendText(dst, e.text)
		dst, e.text = appendJSON(dst, value, e.text, 0)
	}
	if r.Std != record.NoStd && !names.Without.Stream {
		dst = appendString(appendString(dst, names.Stream), r.Std.String())
		n++
	}
	if !r.Marker {
		e.id = r.AppendID(e.id[:0])
		dst = appendString(appendString(dst, "remora"), e.id)
		n++
	}
	s := e.source(r.Source)
	dst = append(dst, s.members...)
	end(dst, at, n+s.count)
	return dst
}

// source returns what the records of s share, computed when s is first seen.
func (e *encoder) source(s *record.Source) *shared {
	if known := e.sources[s]; known != nil {
		return known
	}
	if len(e.sources) >= maxSources {
		clear(e.sources)
	}
	made := &shared{members: []byte{}}
	if names := s.Members(); !names.Without.Source {
		made.members, made.count = appendText(appendString(nil, names.Source), []byte(s.Path)), 1
	}
	for _, t := range s.Tags {
		made.members = appendText(appendText(made.members, []byte(s.TagName(t.Key))), []byte(t.Value))
		made.count++
	}
	e.sources[s] = made
	return made
}

// message returns e.entries, n in number, as a message, and the id by which the server acknowledges it. Both are valid until
// the next call.
func (e *encoder) message(tag string, n int) (message []byte, chunk string, err error) {
	entries := e.entries
	if e.gzip {
		e.packed = e.packed[:0]
		if e.zip == nil {
			e.zip, _ = gzip.NewWriterLevel(&e.packed, gzip.BestSpeed)
		} else {
			e.zip.Reset(&e.packed)
		}
		if _, err := e.zip.Write(entries); err != nil {
			return nil, "", err
		}
		if err := e.zip.Close(); err != nil {
			return nil, "", err
		}
		entries = e.packed
	}
	dst := appendString(appendArray(e.out[:0], 3), tag)
	dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(len(entries)))
	dst = append(dst, entries...)
	options := 1
	if e.ack {
		options++
	}
	if e.gzip {
		options++
	}
	dst = appendInt(appendString(append(dst, 0x80|byte(options)), "size"), int64(n))
	if e.gzip {
		dst = appendString(appendString(dst, "compressed"), "gzip")
	}
	if e.ack {
		chunk = newChunk()
		dst = appendString(appendString(dst, "chunk"), chunk)
	}
	e.out = dst
	return dst, chunk, nil
}

// newChunk returns a random id for a message.
func newChunk() string {
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:], rand.Uint64())
	binary.NativeEndian.PutUint64(raw[8:], rand.Uint64())
	return base64.StdEncoding.EncodeToString(raw[:])
}
