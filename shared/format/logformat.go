// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/remora-logs/remora/shared/logformat"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// logFormat parses lines of access logs by the server's own configuration: format.log_format is nginx's log_format or Apache's
// LogFormat, as written there. It guesses nothing: each column is what it is declared to be, and a line that does not fit is
// kept whole.
type logFormat struct {
	begin   string
	columns []logColumn
	access  *access // parses request lines and escapes
}

type logColumn struct {
	logformat.Column
	name member
	time *timefmt.Parser
}

func newLogFormat(text, zone, server string, n *names) (*logFormat, error) {
	compiled, err := logformat.Compile(server, text, zone)
	if err != nil {
		return nil, fmt.Errorf("format.log_format: %w", err)
	}
	f := &logFormat{begin: compiled.Begin}
	if f.access, err = newAccessOf(n); err != nil {
		return nil, err
	}
	used := make(map[string]bool) // two variables may have one name in a schema
	for _, c := range compiled.Columns {
		column := logColumn{Column: c}
		switch c.Kind {
		case logformat.Time:
			if column.time, err = timefmt.New(c.Layout, zone); err != nil {
				return nil, fmt.Errorf("format.log_format: %w", err)
			}
		case logformat.Text, logformat.Number:
			name := n.schema.field(n.server, c.Field)
			if used[name] {
				name = n.server + "." + c.Field
			}
			used[name] = true
			column.name = n.member(name)
		}
		f.columns = append(f.columns, column)
	}
	return f, nil
}

// parse implements parser.
func (f *logFormat) parse(b *record.Batch, r *record.Record) problem {
	p := r.Line
	if !starts(p, f.begin) {
		return unparsed("the line does not begin as format.log_format does", 0)
	}
	i := len(f.begin)
	b.Arena = slices.Grow(b.Arena, 2*len(p)+256)
	at, a, ns := len(b.Arena), b.Arena, r.Time
	for n := range f.columns {
		c := &f.columns[n]
		end := c.end(p, i)
		if end < 0 {
			return unparsed("the line is not of format.log_format", i)
		}
		value := p[i:end]
		i = end + len(c.Literal)
		if n+1 == len(f.columns) && i != len(p) {
			return unparsed("the line is longer than format.log_format", i)
		}
		if len(value) == 0 || string(value) == "-" {
			continue
		}
		switch c.Kind {
		case logformat.Time:
			parsed, ok := c.time.Parse(value, r.Time)
			if !ok {
				return unparsed("the time was not understood", end-len(value))
			}
			ns = parsed
		case logformat.Request:
			a = f.access.request(a, value, bytes.IndexByte(value, '\\') < 0)
		case logformat.Number:
			if isNumbers(value) {
				a = appendNumbers(a, c.name, value)
				break
			}
			fallthrough
		default:
			a = f.access.text(a, c.name, value, !c.Quoted || bytes.IndexByte(value, '\\') < 0)
		}
	}
	r.Time = ns
	f.access.scratch = trimmed(f.access.scratch)
	finish(b, r, a, at)
	return problem{}
}

// end returns the end of the value that begins at i, before the column's literal; -1 if the literal does not follow.
func (c *logColumn) end(p []byte, i int) int {
	switch {
	case c.Quoted:
		for i < len(p) {
			n := closing(p, i)
			if n < 0 {
				return -1
			}
			if starts(p[n:], c.Literal) {
				return n
			}
			i = n + 1
		}
		return -1
	case c.Literal == "":
		return len(p)
	}
	for from := i; ; {
		n := bytes.Index(p[from:], []byte(c.Literal))
		if n < 0 {
			return -1
		}
		n += from
		if !c.List || c.Literal[0] != ' ' || n == i || p[n-1] != ',' && p[n-1] != ':' && !starts(p[n:], " : ") {
			return n
		}
		from = n + 1
	}
}
