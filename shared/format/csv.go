// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// csvParser parses records of RFC 4180: columns between commas, or another delimiter. A column is in quotes if it holds one, a
// line break, or a quote, which is then doubled. All values are strings, because CSV has no other types. A column whose name
// is empty is skipped.
//
// With lazy quotes, a quote stands for itself if it can't begin or end a column.
//
// A row with too few or too many columns gets a parse_error. It keeps its line as message, in addition to the columns that have a
// name. If the end of a column can't be found, there are only parse_error and message.
type csvParser struct {
	columns    []member // empty for those without a name
	delimiter  byte
	lazy       bool
	timeColumn int  // -1 if there is none
	timed      bool // the time is declared
	time       *timefmt.Parser
	scratch    []byte
}

func newCSV(options map[string]string, n *names) (*csvParser, error) {
	names := declare.SplitColumns(options["keys"])
	if strings.Join(names, "") == "" {
		return nil, errors.New("format.keys: csv needs the names of the columns")
	}
	p := &csvParser{}
	for i, name := range names {
		if name != "" && slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("format.keys: two columns have the name %q", name)
		}
		if name == "" {
			p.columns = append(p.columns, "")
		} else {
			p.columns = append(p.columns, n.member(name))
		}
	}
	delimiter, err := declare.ParseDelimiter(options["delimiter"])
	if err != nil {
		return nil, fmt.Errorf("format.delimiter: %w", err)
	}
	p.delimiter, p.lazy = delimiter, options["lazy_quotes"] == "true"
	if p.timeColumn, err = timeField(options, names); err != nil {
		return nil, err
	}
	if p.timed = p.timeColumn >= 0; !p.timed {
		p.timeColumn = slices.Index(names, "@timestamp")
	}
	p.time, err = newTime(options)
	return p, err
}

// parse implements parser.
func (p *csvParser) parse(b *record.Batch, r *record.Record) problem {
	b.Arena = slices.Grow(b.Arena, 2*len(r.Line)+256)
	var (
		line   = r.Line
		found  problem
		time   = r.Time
		at, a  = len(b.Arena), b.Arena
		column = 0
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
			if p.timed {
				found = badTime
			}
			fallthrough
		default:
			a = p.columns[column].appendText(a, value)
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
	r.Time = time
	p.scratch = trimmed(p.scratch)
	finish(b, r, a, at)
	return found
}

// column parses the column that begins at i; next is where the next one begins, -1 if there is none.
func (p *csvParser) column(line []byte, i int) (value []byte, next int, what string) {
	if i < len(line) && line[i] == '"' {
		return p.quoted(line, i+1)
	}
	value, next = line[i:], -1
	if n := bytes.IndexByte(value, p.delimiter); n >= 0 {
		value, next = value[:n], i+n+1
	}
	if !p.lazy && bytes.IndexByte(value, '"') >= 0 {
		return nil, 0, "a column that does not begin with a quote has one within"
	}
	return value, next, ""
}

const openQuote = "a quote is not closed"

// quoted parses a column whose inside begins at i.
func (p *csvParser) quoted(line []byte, i int) (value []byte, next int, what string) {
	p.scratch = p.scratch[:0]
	for start := i; ; {
		n := bytes.IndexByte(line[i:], '"')
		if n < 0 {
			return nil, 0, openQuote
		}
		i += n + 1
		literal := i < len(line) && line[i] == '"'
		if !literal && p.lazy && i < len(line) && line[i] != p.delimiter {
			continue
		}
		if literal {
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
		case line[i] == p.delimiter:
			return value, i + 1, ""
		}
		return nil, 0, "text follows a closing quote"
	}
}

// csvRule joins the lines of a quoted column: a record has an even number of quotes.
type csvRule struct{ *csvParser }

func (c csvRule) begin(line []byte) state {
	if isEven(line) || !c.endsInQuotes(line) {
		return complete
	}
	return open
}

func (c csvRule) next(_ state, line []byte) (state, bool) {
	if isEven(line) {
		return open, true
	}
	return complete, true
}

// isEven reports whether line has an even number of quotes.
func isEven(line []byte) bool { return bytes.Count(line, []byte{'"'})&1 == 0 }

// endsInQuotes reports whether a record that begins with line continues in the next one: its last column begins with a quote
// and is not closed. An odd quote within a column does not count.
func (c csvRule) endsInQuotes(line []byte) bool {
	for i := 0; ; {
		if i < len(line) && line[i] == '"' {
			_, next, what := c.quoted(line, i+1)
			if what != "" {
				return what == openQuote
			}
			if i = next; next < 0 {
				return false
			}
			continue
		}
		n := bytes.IndexByte(line[i:], c.delimiter)
		if n < 0 {
			return false
		}
		i += n + 1
	}
}
