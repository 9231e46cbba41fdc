// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/remora-logs/remora/shared/output/internal/line"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// maxSources bounds the sources whose members are cached, because containers come and go.
const maxSources = 10_000

// encoder encodes events: a sequence of JSON objects with metadata next to the event. It is used by one goroutine at a time.
type encoder struct {
	index, source, sourceType template.Template
	raw                       bool

	enc     record.Encoder
	sources map[*record.Source]*shared
}

// shared holds what the events of a source have in common.
type shared struct {
	meta   []byte // members, each with a comma in front
	fields []byte // for raw, members of "fields" after the identity
}

func newEncoder(c *Config) (*encoder, error) {
	e := &encoder{raw: c.Format == "raw", sources: make(map[*record.Source]*shared)}
	var errs [3]error
	e.index, errs[0] = template.Parse(c.Index)
	e.source, errs[1] = template.Parse(c.Source)
	e.sourceType, errs[2] = template.Parse(c.SourceType)
	return e, errors.Join(errs[:]...)
}

// appendEvent appends r as an event.
func (e *encoder) appendEvent(dst []byte, r *record.Record) []byte {
	s := e.of(r.Source)
	dst = append(dst, `{"time":`...)
	dst = appendTime(dst, r.Time)
	dst = append(dst, s.meta...)
	dst = append(dst, `,"event":`...)
	if !e.raw || r.Line == nil {
		return append(line.AppendIdentified(dst, &e.enc, r), "}\n"...)
	}
	if len(bytes.TrimSpace(r.Line)) == 0 { // the collector refuses an event that is blank
		dst = append(dst, `" "`...)
	} else {
		dst = record.AppendBytes(dst, r.Line)
	}
	dst = append(dst, `,"fields":{"remora":"`...)
	dst = append(r.AppendID(dst), '"')
	if r.Std != record.NoStd && !r.Source.Members().Without.Stream {
		dst = append(append(append(dst, `,"stream":"`...), r.Std.String()...), '"')
	}
	return append(append(dst, s.fields...), "}}\n"...)
}

// appendTime appends ns as seconds since 1970.
func appendTime(dst []byte, ns int64) []byte {
	if ns < 0 {
		ns = 0
	}
	dst = strconv.AppendInt(dst, ns/1e9, 10)
	frac := strconv.AppendInt(dst, 1e9+ns%1e9, 10) // the 1 keeps leading zeros
	frac[len(dst)] = '.'
	return frac
}

// of returns what the events of s share, computed when s is first seen.
func (e *encoder) of(s *record.Source) *shared {
	if known := e.sources[s]; known != nil {
		return known
	}
	if len(e.sources) >= maxSources {
		clear(e.sources)
	}
	made := new(shared)
	member := func(name, value string) {
		if value != "" {
			made.meta = append(append(append(made.meta, `,"`...), name...), `":`...)
			made.meta = record.AppendString(made.meta, value)
		}
	}
	member("host", template.Value(s, "host"))
	member("source", string(e.source.Append(nil, s, nil)))
	member("sourcetype", string(e.sourceType.Append(nil, s, nil)))
	member("index", string(e.index.Append(nil, s, nil)))
	for _, t := range s.Tags {
		made.fields = record.AppendString(append(made.fields, ','), t.Key)
		made.fields = record.AppendString(append(made.fields, ':'), t.Value)
	}
	e.sources[s] = made
	return made
}
