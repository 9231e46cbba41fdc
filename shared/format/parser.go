// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// parser parses lines of one format. It is used by one goroutine at a time.
type parser interface {
	// parse sets r.Fields from r.Line, in memory of b, and r.Time if the line has a time. It does not change r.Line.
	parse(b *record.Batch, r *record.Record) problem
}

// newParser returns the parser of d's format; nil for none.
func newParser(d declare.Declaration, n *names, log *slog.Logger) (parser, error) {
	switch d.Format {
	case "", "none":
		return nil, nil
	case "json":
		return newJSON(d.FormatOptions, n)
	case "csv":
		return newCSV(d.FormatOptions, n)
	case "nginx", "apache2":
		if text := d.FormatOptions["log_format"]; text != "" {
			return newLogFormat(text, d.FormatOptions["time_zone"], d.Format, n)
		}
		return newAccessOf(n)
	case "apache_error":
		return newApacheError(d.FormatOptions, n.field)
	case "nginx_error":
		return newNginxError(d.FormatOptions, n.field)
	case "logfmt", "kv":
		return newKV(d.FormatOptions, n)
	case "klog":
		return newKlog(d.FormatOptions, n)
	case "syslog":
		return newSyslog(d.FormatOptions, n)
	case "regexp":
		return newRegexp(d.FormatOptions, n, len(d.Multiline) > 0, log)
	}
	return nil, fmt.Errorf("format: %q is unknown", d.Format)
}

// timeKey returns the field that holds the time; empty if none is declared. A time_format without a time_key means "time", as
// with log-pilot's fluentd.
func timeKey(options map[string]string) string {
	if key := options["time_key"]; key != "" || options["time_format"] == "" {
		return key
	}
	return "time"
}

// timeField returns the index of timeKey in fields; -1 if there is none. It is an error if a declared one is missing.
func timeField(options map[string]string, fields []string) (int, error) {
	key := timeKey(options)
	if key == "" {
		return -1, nil
	}
	i := slices.Index(fields, key)
	if i < 0 && options["time_key"] != "" {
		return -1, fmt.Errorf("format.time_key: %q is none of the fields %s", key, strings.Join(fields, ", "))
	}
	return i, nil
}

// newTime returns the parser of times that the options declare.
func newTime(options map[string]string) (*timefmt.Parser, error) {
	layout, zone := options["time_format"], options["time_zone"]
	if _, err := timefmt.New("", zone); err != nil {
		return nil, fmt.Errorf("format.time_zone: %w", err)
	}
	p, err := timefmt.New(layout, zone)
	if err != nil {
		return nil, fmt.Errorf("format.time_format: %q: %w", layout, err)
	}
	return p, nil
}

// problem is the reason why a line could not be parsed. Its text is constant and holds nothing of the line, because what a
// mask would hide must not come out here. The zero value means none.
type problem struct {
	what string
	at   int // the index in the line; 0 if the place does not matter
	// keepsLine means that not all of the line is in the fields, so that the line stays in addition.
	keepsLine bool
}

// unparsed returns the problem of a line that is kept whole.
func unparsed(what string, at int) problem { return problem{what: what, at: at, keepsLine: true} }

// badTime is the problem of a record whose time could not be parsed. The value stays among the fields.
var badTime = problem{what: "the value of time_key is not a time of time_format"}

// addTo appends the member parse_error to r's fields. One that the application wrote is renamed.
func (p *problem) addTo(b *record.Batch, r *record.Record, n *names) {
	if n.found {
		n.prefix(b, r, func(name []byte) bool { return string(name) == "parse_error" })
	}
	n.ours = true
	at := len(b.Arena)
	a := b.Arena
	if len(r.Fields) > 0 {
		a = append(append(a, r.Fields...), ',')
	}
	a = record.AppendString(a, n.schema.member("parse_error"))
	a = append(append(a, `:"`...), p.what...)
	if p.at > 0 {
		a = strconv.AppendInt(append(a, ` at byte `...), int64(p.at), 10)
	}
	a = append(a, '"')
	r.Fields, b.Arena = a[at:len(a):len(a)], a
}

// member is the beginning of a member after a comma, `,"key":`. An empty one stands for a field that is not wanted.
type member string

func newMember(key string) member { return member("," + string(record.AppendString(nil, key)) + ":") }

// appendText appends the member with text as its value.
func (m member) appendText(dst, text []byte) []byte {
	if m == "" {
		return dst
	}
	return record.AppendBytes(append(dst, m...), text)
}

// appendClean is appendText for text in which nothing has to be escaped.
func (m member) appendClean(dst, text []byte) []byte {
	if m == "" {
		return dst
	}
	return append(append(append(append(dst, m...), '"'), text...), '"')
}

// appendAddress appends the member with an address or a server's name as its value and, if port is not empty, its port as that
// member.
func (m member) appendAddress(dst, text []byte, port member) []byte {
	if port == "" {
		return m.appendText(dst, text)
	}
	host, number := splitPort(text)
	dst = m.appendText(dst, host)
	if len(number) > 0 {
		dst = port.appendNumber(dst, number)
	}
	return dst
}

// appendWord appends the member with a word as its value, in which nothing has to be escaped.
func (m member) appendWord(dst []byte, word string) []byte {
	return append(append(append(append(dst, m...), '"'), word...), '"')
}

// appendNumber appends the member with digits, which may hold a point, as its value. If there are more digits than backends
// accept in a number, it appends them as text.
func (m member) appendNumber(dst, digits []byte) []byte {
	if m == "" {
		return dst
	}
	if len(digits) > maxDigits {
		return m.appendText(dst, digits)
	}
	return appendJSONNumber(append(dst, m...), digits)
}

// appendJSONNumber appends digits, which may hold a point, without leading zeros, which JSON does not allow.
func appendJSONNumber(dst, digits []byte) []byte {
	for len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		digits = digits[1:]
	}
	return append(dst, digits...)
}

// keepMemory bounds the memory, in bytes, that a part of a chain keeps from one record to the next: there are thousands of
// chains, and lines may be as large as a MiB.
const keepMemory = 8 << 10

// trimmed returns p as memory for the next record; nil if it has become too large.
func trimmed(p []byte) []byte {
	if cap(p) > keepMemory {
		return nil
	}
	return p
}

// finish makes the members written to a since at the fields of r. The first of them has a comma before it, which finish drops.
func finish(b *record.Batch, r *record.Record, a []byte, at int) {
	b.Arena = a
	if r.Fields = nil; len(a) > at {
		r.Fields = a[at+1 : len(a) : len(a)]
	}
}
