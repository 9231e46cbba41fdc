// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/remora-logs/remora/shared/output/internal/pb"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// Fields of LogGroup, Log, Log.Content and LogTag (the service's sls_logs.proto).
const (
	groupLogs, groupTopic, groupSource = 1, 3, 4
	groupTags                          = 6
	logTime, logContents, logTimeNanos = 1, 2, 4
	pairKey, pairValue                 = 1, 2
)

// maxSources bounds the sources whose contents are cached, because containers come and go.
const maxSources = 10_000

// encoder encodes log groups. It is used by one goroutine at a time.
type encoder struct {
	sources map[*record.Source][]byte // contents that the records of a source share
	key     []byte
	text    []byte
	times   record.Encoder
	hashes  lz4.Compressor
	zstd    *zstd.Encoder
	body    []byte
	packed  []byte
}

func newEncoder() *encoder { return &encoder{sources: make(map[*record.Source][]byte)} }

// appendLog appends r. All values are text, the service's only type.
func (e *encoder) appendLog(dst []byte, r *record.Record) []byte {
	dst, m := pb.Begin(dst, groupLogs, 200+len(r.Line))
	ns := max(r.Time, 0)
	dst = pb.Uint(dst, logTime, uint64(ns/1e9))
	names := r.Source.Members()
	switch {
	case r.Line == nil:
	case names.Newline[r.Std]:
		e.text = r.AppendLine(e.text[:0])
		dst = pb.Pair(dst, logContents, names.Line[r.Std], e.text)
	default:
		dst = pb.Pair(dst, logContents, names.Line[r.Std], r.Line)
	}
	if names.Time != "" {
		e.text = e.times.AppendShapeTime(e.text[:0], r)
		dst = pb.Pair(dst, logContents, names.Time, e.text)
	}
	for rest := r.Fields; ; {
		key, value, after, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = after
		e.key = record.AppendUnescaped(e.key[:0], key)
		e.text = record.AppendText(e.text[:0], value)
		dst = content(dst, e.key, e.text)
	}
	if r.Std != record.NoStd && !names.Without.Stream {
		dst = pb.Pair(dst, logContents, names.Stream, []byte(r.Std.String()))
	}
	if !names.Without.Offset {
		e.text = strconv.AppendInt(e.text[:0], r.Offset, 10)
		dst = pb.Pair(dst, logContents, names.Offset, e.text)
	}
	if r.Truncated {
		dst = pb.Pair(dst, logContents, names.Truncated, []byte("true"))
	}
	if !r.Marker {
		e.text = r.AppendID(e.text[:0])
		dst = pb.Pair(dst, logContents, "remora", e.text)
	}
	dst = append(dst, e.source(r.Source)...)
	return pb.End(pb.Fixed32(dst, logTimeNanos, uint32(ns%1e9)), m)
}

// content appends a key and its value. The service reserves keys that begin with two underscores.
func content[S ~string | ~[]byte](dst []byte, key S, value []byte) []byte {
	dst, m := pb.Begin(dst, logContents, len(key)+len(value)+4)
	if len(key) > 1 && key[0] == '_' && key[1] == '_' {
		dst = pb.Text(dst, pairKey, append([]byte("app"), key...))
	} else {
		dst = pb.Text(dst, pairKey, []byte(key))
	}
	return pb.End(pb.Text(dst, pairValue, value), m)
}

// source returns the contents that the records of s share, computed when s is first seen.
func (e *encoder) source(s *record.Source) []byte {
	if known := e.sources[s]; known != nil {
		return known
	}
	if len(e.sources) >= maxSources {
		clear(e.sources)
	}
	made := []byte{}
	if names := s.Members(); !names.Without.Source {
		made = content(made, names.Source, []byte(s.Path))
	}
	for _, t := range s.Tags {
		made = content(made, s.TagName(t.Key), []byte(t.Value))
	}
	e.sources[s] = made
	return made
}

// maxMeta bounds a topic and a source, in bytes.
const maxMeta = 128

// appendGroup appends what applies to all records of a group, as Logtail does: the topic, the host, and the file.
func appendGroup(dst []byte, g *group) []byte {
	dst = pb.String(dst, groupTopic, g.topic[:min(len(g.topic), maxMeta)])
	if host := template.Value(g.source, "host"); host != "" {
		dst = pb.String(dst, groupSource, host[:min(len(host), maxMeta)])
		dst = appendTag(dst, "__hostname__", host)
	}
	if g.path != "" {
		dst = appendTag(dst, "__path__", g.path)
	}
	return dst
}

func appendTag(dst []byte, key, value string) []byte {
	dst, m := pb.Begin(dst, groupTags, len(key)+len(value)+4)
	dst = pb.String(dst, pairKey, key)
	return pb.End(pb.String(dst, pairValue, value), m)
}

// compress returns the compressed body and the codec's name, which is empty if the body is returned uncompressed.
func (e *encoder) compress(body []byte, codec string) ([]byte, string, error) {
	switch codec {
	case "lz4": // a block, not a frame
		if most := lz4.CompressBlockBound(len(body)); cap(e.packed) < most {
			e.packed = make([]byte, most)
		}
		n, err := e.hashes.CompressBlock(body, e.packed[:cap(e.packed)])
		if err != nil || n == 0 {
			return body, "", err
		}
		return e.packed[:n], codec, nil
	case "zstd":
		if e.zstd == nil {
			var err error
			if e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
				return nil, "", err
			}
		}
		e.packed = e.zstd.EncodeAll(body, e.packed[:0])
		return e.packed, codec, nil
	}
	return body, "", nil
}
