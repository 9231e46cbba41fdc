// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"hash/crc32"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/output/internal/pb"
	"github.com/remora-logs/remora/shared/record"
)

// Fields of logproto.PushRequest, StreamAdapter, EntryAdapter, LabelPairAdapter (Loki's pkg/push/push.proto) and of
// google.protobuf.Timestamp.
const (
	requestStreams              = 1
	streamLabels, streamEntries = 1, 2
	entryTime, entryLine        = 1, 2
	entryMetadata               = 3
	pairName, pairValue         = 1, 2
	timeSeconds, timeNanos      = 1, 2
)

// maxSources bounds the sources whose labels are cached, because containers come and go.
const maxSources = 10_000

// labels are the tags that become labels in Loki, and so divide records into its streams.
type labels struct {
	names []string
	byStd bool // stream is one of them
}

func newLabels(names []string) (l labels) {
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" && !slices.Contains(l.names, n) {
			l.names = append(l.names, n)
		}
	}
	l.byStd = slices.Contains(l.names, "stream")
	return l
}

// encoder encodes push requests. It is used by one goroutine at a time.
type encoder struct {
	labels
	metadata bool
	sources  map[*record.Source]*shared
	scratch  []byte
	id       []byte
}

// shared holds what the records of a source have in common.
type shared struct {
	labels   [3][]byte // by Std: the label set, as text
	metadata []byte    // fields of EntryAdapter
	shift    int64     // of the times of the source's records, in nanoseconds; see stamp
}

func newEncoder(l labels, metadata bool) *encoder {
	return &encoder{labels: l, metadata: metadata, sources: make(map[*record.Source]*shared)}
}

// appendRequest appends a PushRequest with the records at index, in order. Each run of records with one label set becomes a
// stream.
func (e *encoder) appendRequest(dst []byte, records []record.Record, index []int) []byte {
	var (
		run  pb.Mark
		open bool
		last *record.Record
		s    *shared
	)
	for _, i := range index {
		r := &records[i]
		if !open || r.Source != last.Source || e.byStd && r.Std != last.Std {
			if open {
				dst = pb.End(dst, run)
			}
			s = e.source(r.Source)
			dst, run = pb.Begin(dst, requestStreams, 1<<20)
			dst = pb.Bytes(dst, streamLabels, s.labels[r.Std])
			open = true
		}
		dst = e.appendEntry(dst, r, s, s.stamp(r))
		last = r
	}
	if open {
		dst = pb.End(dst, run)
	}
	return dst
}

// Primes below a second and a millisecond, in nanoseconds.
const belowSecond, belowMilli = 999_999_937, 999_983

// stamp returns the time under which r is stored. Loki takes two entries of a stream with the same time and line for
// duplicates. But a program may write a line twice in a moment, and two replicas may write the same line. So the digits below
// the precision of the record's time are made from its place, and are the same each time it is sent: from the offset if the
// time was parsed to a second or a millisecond, else from the number of records directly before it with the same time. This
// keeps the order within a source, except once in 1 GB (1 MB for milliseconds) within the same second (millisecond). Primes
// keep lines of equal length apart.
func (s *shared) stamp(r *record.Record) int64 {
	switch {
	case r.Time%1e9 == 0:
		return r.Time + (r.Offset+s.shift)%belowSecond
	case r.Time%1e6 == 0:
		return r.Time + (r.Offset+s.shift)%belowMilli
	case r.Std == record.NoStd: // the time of reading, which files read in one turn share
		return r.Time + s.shift%belowMilli + int64(r.SameTime)
	}
	return r.Time + int64(r.SameTime)
}

func (e *encoder) appendEntry(dst []byte, r *record.Record, s *shared, time int64) []byte {
	dst, entry := pb.Begin(dst, streamEntries, 200+len(r.Line))
	dst, at := pb.Begin(dst, entryTime, 10)
	seconds, nanos := time/1e9, time%1e9
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1e9
	}
	dst = pb.Uint(dst, timeSeconds, uint64(seconds)) // ten bytes if negative, as protobuf requires
	dst = pb.Uint(dst, timeNanos, uint64(nanos))
	dst = pb.End(dst, at)

	line := r.Line
	if line == nil { // a format parsed it; LogQL's json reads the fields
		e.scratch = append(append(append(e.scratch[:0], '{'), r.Fields...), '}')
		line = e.scratch
	}
	dst = pb.Text(dst, entryLine, line)
	if !e.metadata {
		return pb.End(dst, entry)
	}
	dst = append(dst, s.metadata...)
	e.id = r.AppendID(e.id[:0])
	dst = pair(dst, "remora_id", e.id)
	if r.Std != record.NoStd && !e.byStd && !r.Source.Members().Without.Stream {
		dst = pair(dst, "stream", []byte(r.Std.String()))
	}
	if r.Line != nil && len(r.Fields) > 0 {
		dst = e.appendFields(dst, r.Fields)
	}
	return pb.End(dst, entry)
}

func (e *encoder) appendFields(dst, fields []byte) []byte {
	for {
		key, value, rest, ok := record.NextField(fields)
		if !ok {
			return dst
		}
		e.scratch = record.AppendUnescaped(e.scratch[:0], key)
		at := len(e.scratch)
		e.scratch = record.AppendText(e.scratch, value)
		dst = pair(dst, name(e.scratch[:at]), e.scratch[at:])
		fields = rest
	}
}

// pair appends a pair of an entry's metadata.
func pair[S ~string | ~[]byte](dst []byte, name S, value []byte) []byte {
	dst, m := pb.Begin(dst, entryMetadata, len(name)+len(value)+4)
	dst = pb.Bytes(dst, pairName, []byte(name))
	dst = pb.Text(dst, pairValue, value)
	return pb.End(dst, m)
}

// source returns what the records of s share, computed when s is first seen.
func (e *encoder) source(s *record.Source) *shared {
	if known := e.sources[s]; known != nil {
		return known
	}
	if len(e.sources) >= maxSources {
		clear(e.sources)
	}
	made := &shared{metadata: e.rest(s), shift: int64(crc32.ChecksumIEEE([]byte(s.ID)))}
	for std := record.NoStd; std <= record.Stderr; std++ {
		made.labels[std] = e.appendSet(nil, s, std)
	}
	e.sources[s] = made
	return made
}

// appendSet appends the label set of records of s and std, in Prometheus's form: {name="value", …}. Loki requires at least one
// label.
func (l *labels) appendSet(dst []byte, s *record.Source, std record.Std) []byte {
	from := len(dst)
	set := append(dst, '{')
	for _, l := range l.names {
		value := value(s, std, l)
		if value == "" {
			continue
		}
		if len(set) > from+1 {
			set = append(set, ", "...)
		}
		set = append(set, name([]byte(l))...)
		set = append(set, '=')
		set = quote(set, value)
	}
	if len(set) == from+1 {
		set = append(set, `job="remora"`...)
	}
	return append(set, '}')
}

// rest returns the metadata of what is not a label.
func (e *encoder) rest(s *record.Source) []byte {
	var dst []byte
	if !slices.Contains(e.names, "source") && !s.Members().Without.Source {
		dst = pair(dst, "source", []byte(s.Path))
	}
	for _, t := range s.Tags {
		if !slices.Contains(e.names, t.Key) {
			dst = pair(dst, name([]byte(t.Key)), []byte(t.Value))
		}
	}
	return dst
}

func value(s *record.Source, std record.Std, label string) string {
	for _, t := range s.Tags {
		if t.Key == label {
			return t.Value
		}
	}
	switch label {
	case "target":
		return s.Target
	case "declaration":
		return s.Declaration
	case "source":
		return s.Path
	case "stream":
		return std.String()
	}
	return ""
}

// name replaces in place the characters that the name of a label can't have by underscores. It can have letters, underscores
// and, except at the beginning, digits.
func name(p []byte) []byte {
	for i, c := range p {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9' && i > 0) {
			p[i] = '_'
		}
	}
	if len(p) == 0 {
		return []byte("_")
	}
	return p
}

// quote appends a value in the form of Loki's parser: in quotes, with backslash, quote and newline escaped.
func quote(dst []byte, value string) []byte {
	dst = append(dst, '"')
	for _, r := range strings.ToValidUTF8(value, "\ufffd") {
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', byte(r))
		case '\n':
			dst = append(dst, `\n`...)
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
