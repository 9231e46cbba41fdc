// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/remora-logs/remora/shared/pattern"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// regexpParser makes a string field of each named group that took part in the match. A pattern without named groups parses
// nothing: the line stays.
type regexpParser struct {
	pattern *guarded
	groups  []member
	time    *timefmt.Parser
	timeAt  int  // index of the group with the time; -1 for none
	timed   bool // timeAt is declared, so it has to be a time
}

func newRegexp(options map[string]string, n *names, severalLines bool, log *slog.Logger) (*regexpParser, error) {
	expr := options["pattern"]
	if expr == "" {
		return nil, errors.New("format.pattern: regexp needs one")
	}
	compiled, err := pattern.CompileRuby(expr, severalLines)
	if err != nil {
		return nil, fmt.Errorf("format.pattern: %w", err)
	}
	p := &regexpParser{pattern: &guarded{Pattern: compiled, key: "format.pattern", log: log}}
	for _, name := range compiled.Groups() {
		p.groups = append(p.groups, n.member(name))
	}
	if p.timeAt, err = timeField(options, compiled.Groups()); err != nil {
		return nil, err
	}
	if p.timed = p.timeAt >= 0; p.timed {
		p.time, err = newTime(options)
		return p, err
	}
	// As in log-pilot, a group called time holds the time if its value is one.
	p.timeAt = slices.Index(compiled.Groups(), "time")
	p.time, err = timefmt.NewDate(options["time_zone"])
	return p, err
}

// parse implements parser.
func (p *regexpParser) parse(b *record.Batch, r *record.Record) (found problem) {
	loc, err := p.pattern.find(r.Line)
	switch {
	case errors.Is(err, pattern.ErrTimeout):
		return unparsed("the match took too long", 0)
	case errors.Is(err, errOff):
		return unparsed(errOff.Error(), 0)
	case errors.Is(err, pattern.ErrTooLong):
		return unparsed("the line is too long for this pattern", 0)
	case err != nil:
		return unparsed("the match failed", 0)
	case loc == nil:
		return unparsed("the pattern does not match", 0)
	case len(loc) == 0:
		return problem{keepsLine: true}
	}
	at, a := len(b.Arena), b.Arena
	for i, name := range p.groups {
		if loc[2*i] < 0 {
			continue
		}
		value := r.Line[loc[2*i]:loc[2*i+1]]
		if i == p.timeAt {
			if ns, ok := p.time.Parse(value, r.Time); ok {
				r.Time = ns
				continue
			}
			if p.timed {
				found = badTime
			}
		}
		a = name.appendText(a, value)
	}
	finish(b, r, a, at)
	return found
}
