// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"

	"github.com/remora-logs/remora/shared/output/internal/pb"
	"github.com/remora-logs/remora/shared/record"
)

// Fields of ExportLogsServiceRequest, ResourceLogs, ScopeLogs, LogRecord, Resource, InstrumentationScope, KeyValue and
// AnyValue (github.com/open-telemetry/opentelemetry-proto, 1.x).
const (
	requestResourceLogs              = 1
	resourceLogsResource             = 1
	resourceLogsScopeLogs            = 2
	resourceAttributes               = 1
	scopeLogsScope, scopeLogsRecords = 1, 2
	scopeName                        = 1
	logTime, logSeverityNumber       = 1, 2
	logSeverityText, logBody         = 3, 5
	logAttributes                    = 6
	logTraceID, logSpanID            = 9, 10
	logObserved                      = 11
	pairKey, pairValue               = 1, 2
	anyString, anyBool, anyInt       = 1, 2, 3
	anyDouble                        = 4
)

// maxSources bounds the sources whose attributes are cached, because containers come and go.
const maxSources = 10_000

// encoder encodes export requests. It is used by one goroutine at a time.
type encoder struct {
	sources map[*record.Source]*shared
	scratch []byte
	id      []byte
}

// shared holds what the records of a source have in common.
type shared struct {
	head       []byte // of ResourceLogs: the resource
	attributes []byte // of LogRecord
}

func newEncoder() *encoder { return &encoder{sources: make(map[*record.Source]*shared)} }

// appendRequest appends an ExportLogsServiceRequest with b's records, in order. Each run of records of one source becomes a
// ResourceLogs. observed is the observed time of all records, in nanoseconds since 1970.
func (e *encoder) appendRequest(dst []byte, b *record.Batch, observed int64) []byte {
	var (
		last              *record.Source
		s                 *shared
		resource, records pb.Mark
	)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Source != last {
			if last != nil {
				dst = pb.End(pb.End(dst, records), resource)
			}
			last = r.Source
			s = e.source(last)
			dst, resource = pb.Begin(dst, requestResourceLogs, 1<<20)
			dst = append(dst, s.head...)
			dst, records = pb.Begin(dst, resourceLogsScopeLogs, 1<<20)
			dst = append(dst, scope...)
		}
		dst = e.appendRecord(dst, r, s, observed)
	}
	if last != nil {
		dst = pb.End(pb.End(dst, records), resource)
	}
	return dst
}

// scope is the InstrumentationScope of all records.
var scope = func() []byte {
	dst, m := pb.Begin(nil, scopeLogsScope, 8)
	return pb.End(pb.String(dst, scopeName, "remora"), m)
}()

func (e *encoder) appendRecord(dst []byte, r *record.Record, s *shared, observed int64) []byte {
	dst, m := pb.Begin(dst, scopeLogsRecords, 200+len(r.Line)+2*len(r.Fields))
	dst = pb.Fixed64(dst, logTime, uint64(max(r.Time, 0)))
	dst = pb.Fixed64(dst, logObserved, uint64(observed))
	dst = e.appendFields(dst, r)
	if r.Line != nil {
		dst = body(dst, r.Line)
	}
	dst = append(dst, s.attributes...)
	e.id = r.AppendID(e.id[:0])
	dst = attribute(dst, logAttributes, "log.record.uid", e.id)
	if r.Std != record.NoStd && !r.Source.Members().Without.Stream {
		dst = attribute(dst, logAttributes, "log.iostream", []byte(r.Std.String()))
	}
	return pb.End(dst, m)
}

func body(dst, text []byte) []byte {
	dst, m := pb.Begin(dst, logBody, len(text)+4)
	return pb.End(pb.Text(dst, anyString, text), m)
}

// appendFields appends the record's fields: the level, the trace and the span as OpenTelemetry's own fields, and the rest as
// attributes. If a format parsed the line, a field called message or msg is the body, or else an object of all fields.
func (e *encoder) appendFields(dst []byte, r *record.Record) []byte {
	if r.Line != nil && len(r.Fields) == 0 {
		return dst
	}
	hasBody := r.Line != nil
	for rest := r.Fields; ; {
		key, value, after, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = after
		e.scratch = record.AppendUnescaped(e.scratch[:0], key)
		at := len(e.scratch)
		e.scratch = record.AppendText(e.scratch, value)
		name, text := e.scratch[:at], e.scratch[at:]
		switch string(name) {
		case "message", "msg":
			if !hasBody {
				dst, hasBody = body(dst, text), true
				continue
			}
		case "level", "severity", "lvl", "log.level":
			if number := severity(text); number != 0 {
				dst = pb.Uint(dst, logSeverityNumber, uint64(number))
				dst = pb.Text(dst, logSeverityText, text)
				continue
			}
		case "trace_id":
			if d, ok := identifier(dst, logTraceID, text, 16); ok {
				dst = d
				continue
			}
		case "span_id":
			if d, ok := identifier(dst, logSpanID, text, 8); ok {
				dst = d
				continue
			}
		}
		dst = appendField(dst, name, value, text)
	}
	if !hasBody {
		e.scratch = append(append(append(e.scratch[:0], '{'), r.Fields...), '}')
		dst = body(dst, e.scratch)
	}
	return dst
}

// appendField appends a field with the type of its JSON. Objects and lists are appended as text, and null is left out.
func appendField(dst, name, value, text []byte) []byte {
	if len(value) == 0 || value[0] == 'n' {
		return dst
	}
	dst, m := pb.Begin(dst, logAttributes, len(name)+len(text)+8)
	dst = pb.Text(dst, pairKey, name)
	dst, v := pb.Begin(dst, pairValue, len(text)+4)
	switch c := value[0]; {
	case c == 't' || c == 'f':
		dst = pb.Uint(dst, anyBool, uint64(boolean(c == 't')))
	case c == '-' || c >= '0' && c <= '9':
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			dst = pb.Uint(dst, anyInt, uint64(n))
		} else if f, err := strconv.ParseFloat(string(value), 64); err == nil {
			dst = pb.Fixed64(dst, anyDouble, math.Float64bits(f))
		} else {
			dst = pb.Text(dst, anyString, value)
		}
	default:
		dst = pb.Text(dst, anyString, text)
	}
	return pb.End(pb.End(dst, v), m)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// attribute appends, as field, a KeyValue with a string.
func attribute(dst []byte, field int, key string, value []byte) []byte {
	dst, m := pb.Begin(dst, field, len(key)+len(value)+8)
	dst = pb.String(dst, pairKey, key)
	dst, v := pb.Begin(dst, pairValue, len(value)+4)
	return pb.End(pb.End(pb.Text(dst, anyString, value), v), m)
}

// identifier appends hexadecimal text as bytes if it has n of them.
func identifier(dst []byte, field int, text []byte, n int) ([]byte, bool) {
	var raw [16]byte
	if len(text) != 2*n {
		return dst, false
	}
	if _, err := hex.Decode(raw[:n], text); err != nil {
		return dst, false
	}
	return pb.Bytes(dst, field, raw[:n]), true
}

// severities holds the numbers of the names that programs give their levels (OpenTelemetry's log data model, SeverityNumber).
var severities = map[string]int{
	"trace": 1, "debug": 5, "info": 9, "information": 9, "notice": 10, "warn": 13, "warning": 13,
	"error": 17, "err": 17, "critical": 21, "crit": 21, "alert": 21, "emerg": 21, "fatal": 21, "panic": 21,
}

func severity(text []byte) int {
	var lower [16]byte
	if len(text) > len(lower) {
		return 0
	}
	n := copy(lower[:], text)
	for i, c := range lower[:n] {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return severities[string(bytes.TrimSpace(lower[:n]))]
}

// conventions holds OpenTelemetry's names (semantic conventions, resource) for the tags that describe the writer of a record.
var conventions = map[string]string{
	"docker_app": "service.namespace", "docker_service": "service.name", "docker_container": "container.name",
	"container_id": "container.id", "image": "container.image.name", "host": "host.name",
	"k8s_pod": "k8s.pod.name", "k8s_pod_namespace": "k8s.namespace.name", "k8s_pod_uid": "k8s.pod.uid",
	"k8s_node_name": "k8s.node.name", "k8s_container_name": "k8s.container.name",
	"swarm_service": "docker.swarm.service.name", "swarm_task": "docker.swarm.task.name",
	"swarm_node_id": "docker.swarm.node.id",
}

// source returns what the records of s share, computed when s is first seen.
func (e *encoder) source(s *record.Source) *shared {
	if known := e.sources[s]; known != nil {
		return known
	}
	if len(e.sources) >= maxSources {
		clear(e.sources)
	}
	made := new(shared)
	head, m := pb.Begin(nil, resourceLogsResource, 200)
	service := s.Target
	for _, t := range s.Tags[len(s.Tags)-s.Origin:] {
		key, known := conventions[t.Key]
		if !known {
			key = t.Key
		}
		if key == "service.name" {
			service = t.Value
			continue
		}
		head = attribute(head, resourceAttributes, key, []byte(t.Value))
	}
	head = attribute(head, resourceAttributes, "service.name", []byte(service))
	made.head = pb.End(head, m)
	for _, t := range s.Tags[:len(s.Tags)-s.Origin] {
		made.attributes = attribute(made.attributes, logAttributes, t.Key, []byte(t.Value))
	}
	if s.Path != "stdout" && !s.Members().Without.Source {
		made.attributes = attribute(made.attributes, logAttributes, "log.file.path", []byte(s.Path))
	}
	e.sources[s] = made
	return made
}
