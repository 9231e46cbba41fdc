// SPDX-License-Identifier: Apache-2.0

package syslog

import (
	"bytes"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/output/internal/level"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// Lengths allowed by RFC 5424, section 6.
const (
	maxHost, maxApp, maxMsgID, maxParam = 255, 48, 32, 32
	// enterprise has the number that RFC 5612 reserves for examples. Remora has no registered one.
	enterprise = "remora@32473"
)

// maxSources bounds the sources whose headers are cached, because containers come and go.
const maxSources = 10_000

// encoder encodes messages. It is used by one goroutine at a time.
type encoder struct {
	facility int
	severity int // negative means the record's
	tag      template.Template
	max      int
	rfc3164  bool
	lines    bool // a message must not hold a newline

	enc     record.Encoder
	sources map[*record.Source]*shared
	message []byte
	text    []byte
	second  int64 // of stamp
	stamp   []byte
}

// shared holds what the messages of a source have in common.
type shared struct {
	header []byte // of RFC 5424: from the host to the structured data's name; of RFC 3164: host and tag
	data   []byte // parameters of structured data
}

func newEncoder(c *Config) (*encoder, error) {
	tag, err := template.Parse(c.Tag)
	return &encoder{
		facility: slices.Index(facilities, c.Facility), severity: slices.Index(severities, c.Severity), tag: tag,
		max: c.MaxSize, rfc3164: c.Format == "rfc3164",
		lines:   c.Framing == "lf" && (c.Protocol == "tcp" || c.Protocol == "tls"),
		sources: make(map[*record.Source]*shared),
	}, err
}

// encode returns r as a message without framing, of at most room bytes. The result is valid until the next call.
func (e *encoder) encode(r *record.Record, room int) []byte {
	s := e.source(r.Source)
	severity := e.severity
	if severity < 0 {
		severity = level.Of(r)
	}
	dst := append(e.message[:0], '<')
	dst = strconv.AppendInt(dst, int64(e.facility*8+severity), 10)
	dst = append(dst, '>')
	if e.rfc3164 {
		dst = e.appendBSD(dst, r.Time)
		dst = append(dst, s.header...)
	} else {
		dst = append(dst, "1 "...)
		dst = e.enc.AppendTime(dst, r.Time)
		dst = append(dst[:len(dst)-len("000Z")], 'Z', ' ') // rsyslog misreads more than six digits
		dst = e.appendData(append(dst, s.header...), r, s, room)
	}
	e.message = e.appendLine(dst, r, room)
	return e.message
}

// appendBSD appends the time in the form of RFC 3164: local, without a year.
func (e *encoder) appendBSD(dst []byte, ns int64) []byte {
	if second := ns / 1e9; second != e.second || e.stamp == nil {
		e.second, e.stamp = second, time.Unix(second, 0).AppendFormat(e.stamp[:0], "Jan _2 15:04:05 ")
	}
	return append(dst, e.stamp...)
}

// appendData appends the parameters of structured data. It leaves out those that would take more than half of the room, which
// is the line's.
func (e *encoder) appendData(dst []byte, r *record.Record, s *shared, room int) []byte {
	limit := room/2 - len(`] `) - len(` truncated="true"`)
	dst = append(dst, ` id="`...)
	dst = r.AppendID(dst)
	dst = append(dst, '"')
	if r.Std != record.NoStd && !r.Source.Members().Without.Stream {
		dst = append(append(append(dst, ` stream="`...), r.Std.String()...), '"')
	}
	if len(dst)+len(s.data) <= limit {
		dst = append(dst, s.data...)
	}
	if r.Line != nil {
		for rest := r.Fields; ; {
			key, value, after, ok := record.NextField(rest)
			if !ok {
				break
			}
			rest = after
			e.text = record.AppendUnescaped(e.text[:0], key)
			at := len(e.text)
			e.text = record.AppendText(e.text, value)
			from := len(dst)
			if dst = appendParam(dst, e.text[:at], e.text[at:]); len(dst) > limit {
				dst = dst[:from]
			}
		}
	}
	line := len(r.Line)
	if r.Line == nil {
		line = len(r.Fields) + 2
	}
	if r.Truncated || len(dst)+len(`] `)+line > room {
		dst = append(dst, ` truncated="true"`...)
	}
	return append(dst, "] "...)
}

// appendLine appends as much of the record's line as there is room for.
func (e *encoder) appendLine(dst []byte, r *record.Record, room int) []byte {
	from := len(dst)
	if r.Line != nil {
		dst = append(dst, r.Line...)
	} else {
		dst = append(append(append(dst, '{'), r.Fields...), '}')
	}
	if e.lines && bytes.IndexByte(dst[from:], '\n') >= 0 {
		e.text = append(e.text[:0], dst[from:]...)
		dst = dst[:from]
		for _, c := range e.text {
			if c == '\n' {
				dst = append(dst, "#012"...)
			} else {
				dst = append(dst, c)
			}
		}
	}
	if len(dst) > room {
		dst = dst[:max(room, 0)]
		for i := range min(utf8.UTFMax-1, len(dst)) { // cut between characters
			if at := len(dst) - 1 - i; utf8.RuneStart(dst[at]) {
				if !utf8.FullRune(dst[at:]) {
					dst = dst[:at]
				}
				break
			}
		}
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
	made := new(shared)
	host := word(template.Value(s, "host"), maxHost)
	app := word(string(e.tag.Append(nil, s, nil)), maxApp)
	if e.rfc3164 {
		made.header = append(append(append(append(made.header, host...), ' '), app...), ": "...)
	} else {
		for _, part := range []string{host, app, "-", word(s.Declaration, maxMsgID)} {
			made.header = append(append(made.header, part...), ' ')
		}
		made.header = append(append(made.header, '['), enterprise...)
		if !s.Members().Without.Source {
			made.data = appendParam(made.data, []byte("source"), []byte(s.Path))
		}
		for _, t := range s.Tags {
			made.data = appendParam(made.data, []byte(t.Key), []byte(t.Value))
		}
	}
	e.sources[s] = made
	return made
}

// word turns text into a field of a header: printable ASCII without spaces, or "-" if it is empty.
func word(text string, most int) string {
	if text == "" {
		return "-"
	}
	out := []byte(text[:min(len(text), most)])
	for i, c := range out {
		if c < 33 || c > 126 {
			out[i] = '_'
		}
	}
	return string(out)
}

// appendParam appends a parameter of structured data (RFC 5424, 6.3). Invalid UTF-8 becomes U+FFFD. A newline becomes a space,
// because it would end the message for servers that don't count bytes.
func appendParam(dst, name, value []byte) []byte {
	dst = append(dst, ' ')
	for _, c := range name[:min(len(name), maxParam)] {
		if c < 33 || c > 126 || c == '=' || c == ']' || c == '"' {
			c = '_'
		}
		dst = append(dst, c)
	}
	if len(name) == 0 {
		dst = append(dst, '_')
	}
	dst = append(dst, `="`...)
	for len(value) > 0 {
		c := value[0]
		if c < utf8.RuneSelf {
			switch c {
			case '"', '\\', ']':
				dst = append(dst, '\\', c)
			case '\n', '\r', 0:
				dst = append(dst, ' ')
			default:
				dst = append(dst, c)
			}
			value = value[1:]
			continue
		}
		r, size := utf8.DecodeRune(value)
		dst = utf8.AppendRune(dst, r)
		value = value[size:]
	}
	return append(dst, '"')
}
