// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// csvParser takes lines of RFC 4180 apart: columns between commas, in quotes where they hold a comma or a quote, which is
// then doubled. All values are strings, because CSV knows no others.
//
// A row with too few or too many columns says so in parse_error. It keeps its line as message, beside those columns that
// have a name. Where it is not known where a column ends, there are no columns, and parse_error and message alone.
type csvParser struct {
	columns []member
	// message is the column of that name, which has to go where the line stays; -1 if there is none.
	message    int
	timeColumn int // -1 if there is none
	time       *timefmt.Parser
	scratch    []byte
}

func newCSV(options map[string]string, n *names) (*csvParser, error) {
	names := declare.SplitList(options["keys"])
	if len(names) == 0 {
		return nil, errors.New("format.keys: csv needs the names of the columns")
	}
	p := &csvParser{message: slices.Index(names, "message")}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("format.keys: two columns have the name %q", name)
		}
		p.columns = append(p.columns, n.member(name))
	}
	var err error
	if p.timeColumn, err = timeField(options, names); err != nil {
		return nil, err
	}
	p.time, err = newTime(options)
	return p, err
}

// parse implements parser.
func (p *csvParser) parse(b *record.Batch, r *record.Record) problem {
	b.Arena = slices.Grow(b.Arena, 2*len(r.Line)+256)
	var (
		line    = r.Line
		found   problem
		time    = r.Time
		at, a   = len(b.Arena), b.Arena
		column  = 0
		message = at // where the member message begins and ends
		end     = at
	)
	for i := 0; ; column++ {
		value, next, what := p.column(line, i)
		if what != "" {
			return unparsed(what, i)
		}
		switch {
		case column >= len(p.columns):
		case column == p.timeColumn:
			if ns, ok := p.time.Parse(value, r.Time); ok {
				time = ns
				break
			}
			found = badTime
			fallthrough
		default:
			before := len(a)
			if a = p.columns[column].appendText(a, value); column == p.message {
				message, end = before, len(a)
			}
		}
		if next < 0 {
			break
		}
		i = next
	}
	switch columns := column + 1; {
	case columns < len(p.columns):
		found = unparsed("the row has fewer columns than there are keys", 0)
	case columns > len(p.columns):
		found = unparsed("the row has more columns than there are keys", 0)
	}
	if found.keepsLine {
		a = slices.Delete(a, message, end)
	}
	r.Time = time
	p.scratch = trimmed(p.scratch)
	finish(b, r, a, at)
	return found
}

// column reads the column that begins at i; next is where the next one begins, -1 if there is none.
func (p *csvParser) column(line []byte, i int) (value []byte, next int, what string) {
	if i < len(line) && line[i] == '"' {
		return p.quoted(line, i+1)
	}
	value, next = line[i:], -1
	if n := bytes.IndexByte(value, ','); n >= 0 {
		value, next = value[:n], i+n+1
	}
	if bytes.IndexByte(value, '"') >= 0 {
		return nil, 0, "a quote stands within a column that does not begin with one"
	}
	return value, next, ""
}

// quoted reads a column whose inside begins at i.
func (p *csvParser) quoted(line []byte, i int) (value []byte, next int, what string) {
	p.scratch = p.scratch[:0]
	for start := i; ; {
		n := bytes.IndexByte(line[i:], '"')
		if n < 0 {
			return nil, 0, "a quote is not closed"
		}
		i += n + 1
		if i < len(line) && line[i] == '"' {
			p.scratch = append(p.scratch, line[start:i]...)
			i++
			start = i
			continue
		}
		if value = line[start : i-1]; len(p.scratch) > 0 {
			p.scratch = append(p.scratch, value...)
			value = p.scratch
		}
		switch {
		case i == len(line):
			return value, -1, ""
		case line[i] == ',':
			return value, i + 1, ""
		}
		return nil, 0, "something stands behind a closing quote"
	}
}
