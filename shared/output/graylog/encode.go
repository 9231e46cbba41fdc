// SPDX-License-Identifier: Apache-2.0

package graylog

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/output/internal/level"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// maxSources bounds the sources whose fields are cached, because containers come and go.
const maxSources = 10_000

// encoder encodes GELF messages (Graylog's documentation, "GELF Payload Specification" 1.1). It is used by one goroutine at a
// time.
type encoder struct {
	max     int // bytes of a message
	sources map[*record.Source]*shared
	text    []byte
	last    []byte
	buffer  []byte // of a transport
}

// shared holds what the messages of a source have in common.
type shared struct {
	host   []byte // the beginning of a message, with the host
	fields []byte // members, each with a comma in front
}

func newEncoder(most int) *encoder {
	return &encoder{max: most, sources: make(map[*record.Source]*shared)}
}

// append appends r as a message of at most e.max bytes. It appends the fields first, without any that would leave the line
// less than half of the message, and then as much of the line as fits.
func (e *encoder) append(dst []byte, r *record.Record) []byte {
	from := len(dst)
	s := e.source(r.Source)
	dst = append(dst, s.host...)
	dst = append(dst, `,"timestamp":`...)
	dst = appendTime(dst, r.Time)
	dst = append(dst, `,"level":`...)
	dst = strconv.AppendInt(dst, int64(level.Of(r)), 10)
	without := r.Source.Members().Without
	if !without.Offset {
		dst = strconv.AppendInt(append(dst, `,"_offset":`...), r.Offset, 10)
	}
	if r.Std != record.NoStd && !without.Stream {
		dst = append(append(append(dst, `,"_stream":"`...), r.Std.String()...), '"')
	}
	if !r.Marker {
		dst = append(r.AppendID(append(dst, `,"_remora":"`...)), '"')
	}
	limit := from + e.max/2
	if len(dst)+len(s.fields) <= limit {
		dst = append(dst, s.fields...)
	}
	if r.Line != nil || !e.apart(r.Fields) {
		dst = e.appendFields(dst, r.Fields, limit)
	}
	return e.appendLine(dst, r, from+e.max)
}

// apart reports whether fields, of a record whose line was parsed, are too long to be sent as fields.
func (e *encoder) apart(fields []byte) bool { return len(fields) > e.max/2 }

// appendFields appends fields as additional fields, except those that would exceed limit.
func (e *encoder) appendFields(dst, fields []byte, limit int) []byte {
	for {
		key, value, rest, ok := record.NextField(fields)
		if !ok {
			return dst
		}
		fields = rest
		e.text = record.AppendUnescaped(e.text[:0], key)
		before := len(dst)
		if dst = appendField(dst, e.text, value); len(dst) > limit {
			dst = dst[:before]
		}
	}
}

// appendLine appends the message itself and closes the object before end. A blank line becomes a dash, because Graylog refuses
// blank messages.
func (e *encoder) appendLine(dst []byte, r *record.Record, end int) []byte {
	line := r.Line
	if line == nil {
		e.last = append(append(append(e.last[:0], '{'), r.Fields...), '}')
		line = e.last
	}
	const short, truncated = `,"short_message":`, `,"_truncated":"true"`
	room := end - len(dst) - len(short) - len(`""}`) - len(truncated)
	cut := r.Truncated
	at := len(dst)
	for {
		dst = append(dst[:at], short...)
		if len(bytes.TrimSpace(line)) == 0 {
			dst = append(dst, `"-"`...)
		} else {
			dst = record.AppendBytes(dst, line)
		}
		over := len(dst) - at - len(short) - len(`""`) - room
		if over <= 0 || len(line) == 0 {
			break
		}
		// Keep the share that would fit if all bytes took the same room. A few turns suffice.
		line = shorten(line, min(len(line)-1, len(line)*max(room, 0)/(over+room)))
		cut = true
	}
	if cut {
		dst = append(dst, truncated...)
	}
	return append(dst, '}')
}

// shorten cuts line to n bytes, or to up to three fewer so as to end with a whole character.
func shorten(line []byte, n int) []byte {
	for k := 0; k < utf8.UTFMax && n > 0 && !utf8.RuneStart(line[n]); k++ {
		n--
	}
	return line[:n]
}

// appendTime appends ns as seconds since 1970.
func appendTime(dst []byte, ns int64) []byte {
	ns = max(ns, 0)
	dst = strconv.AppendInt(dst, ns/1e9, 10)
	frac := strconv.AppendInt(dst, 1e9+ns%1e9, 10) // the 1 keeps leading zeros
	frac[len(dst)] = '.'
	return frac
}

// appendField appends an additional field. Graylog accepts strings and numbers: it drops true and false, and turns objects and
// lists into a text of its own. Those are sent as text, and null is left out.
func appendField(dst, key, value []byte) []byte {
	if len(value) == 0 || value[0] == 'n' {
		return dst
	}
	dst = append(dst, ',', '"', '_')
	dst = appendName(dst, key)
	dst = append(dst, '"', ':')
	switch c := value[0]; {
	case c == '"', c == '-', c >= '0' && c <= '9':
		return append(dst, value...)
	default:
		return record.AppendBytes(dst, value)
	}
}

// own holds Graylog's own fields: a field of that name would be dropped silently, or refused (id).
var own = map[string]bool{
	"id": true, "source": true, "message": true, "timestamp": true, "level": true, "full_message": true, "short_message": true,
	"host": true, "version": true, "facility": true, "line": true, "file": true, "streams": true, "ttl": true,
}

// appendName appends the name of a field, which may have letters, digits, underscores, dots and dashes.
func appendName(dst, key []byte) []byte {
	if own[string(key)] || bytes.HasPrefix(key, []byte("gl2_")) || len(key) == 0 {
		dst = append(dst, "log_"...)
	}
	for _, c := range key {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}

// source returns what the messages of s share, computed when s is first seen.
func (e *encoder) source(s *record.Source) *shared {
	if known := e.sources[s]; known != nil {
		return known
	}
	if len(e.sources) >= maxSources {
		clear(e.sources)
	}
	host := template.Value(s, "host")
	if host == "" {
		host = "unknown"
	}
	made := &shared{host: record.AppendString([]byte(`{"version":"1.1","host":`), host)}
	text := func(key, value string) {
		e.text = record.AppendString(e.text[:0], value)
		made.fields = appendField(made.fields, []byte(key), e.text)
	}
	if !s.Members().Without.Source {
		text("log_source", s.Path)
	}
	for _, t := range s.Tags {
		if t.Key != "host" {
			text(t.Key, t.Value)
		}
	}
	e.sources[s] = made
	return made
}
