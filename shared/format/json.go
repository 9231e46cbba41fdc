// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"strings"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// jsonParser makes the members of a line's object the fields of the record. If all of them may stay, and are written as a
// record may carry them, the fields are a slice of the line itself: nothing is decoded or copied.
//
// Of members with the same name only the last may stay. The one that gave the record its time may not, which without time_key
// is @timestamp.
type jsonParser struct {
	time    *timefmt.Parser
	timed   bool   // the time is declared
	path    []byte // of a time within nested objects; nil if it is not nested
	keys    keys
	scratch []byte

	// Of the current line: its members, how many of them may not stay, and its time.
	members []jsonMember
	gone    int
	ns      int64
	badTime bool
	found   bool // there is a member with the time's name
}

// jsonMember is the place of a member in the line.
type jsonMember struct {
	start, end int
	gone       bool
}

func newJSON(options map[string]string, n *names) (*jsonParser, error) {
	key := timeKey(options)
	if key == "" {
		key = "@timestamp"
	}
	time, err := newTime(options)
	p := &jsonParser{time: time, timed: timeKey(options) != "", keys: keys{names: n, timeKey: key}}
	if strings.Contains(key, ".") {
		p.path = []byte(key)
	}
	return p, err
}

// parse implements parser.
func (p *jsonParser) parse(b *record.Batch, r *record.Record) problem {
	s := scanner{p: r.Line}
	i := s.skip(0)
	if i == len(s.p) || s.p[i] != '{' {
		return unparsed("the line is not a JSON object", i)
	}
	p.members, p.gone, p.ns, p.badTime, p.found = p.members[:0], 0, r.Time, false, false
	p.keys.begin()
	if i = s.skip(i + 1); i < len(s.p) && s.p[i] == '}' {
		i++
	} else if i = p.object(&s, i, r.Time); i < 0 {
		return unparsed(s.what, s.at)
	}
	if end := s.skip(i); end < len(s.p) {
		return unparsed("something follows the object", end)
	}
	ref := r.Time
	r.Time = p.ns
	p.collect(b, r, s.unclean || s.breaks)
	p.keys.end()
	if cap(p.members) > maxKeys {
		p.members = nil
	}
	if p.path != nil && !p.found {
		p.nestedTime(b, r, ref)
	}
	if p.badTime && p.timed {
		return badTime
	}
	return problem{}
}

// object parses the members of the line's object, the first of which begins at i.
func (p *jsonParser) object(s *scanner, i int, ref int64) int {
	for {
		start := i
		k, at := p.keys.read(s, i)
		if k == nil {
			return -1
		}
		at = s.skip(at)
		if i = s.value(at, 0); i < 0 {
			return -1
		}
		p.add(k, jsonMember{start: start, end: i}, s.p[at:i], ref)
		i = s.skip(i)
		switch {
		case i < len(s.p) && s.p[i] == ',':
			i = s.skip(i + 1)
		case i < len(s.p) && s.p[i] == '}':
			return i + 1
		default:
			return s.fail("a comma or the end of the object was expected", i)
		}
	}
}

// add records a member, and whether it or an earlier one has to go.
func (p *jsonParser) add(k *key, m jsonMember, value []byte, ref int64) {
	if k.line == p.keys.line {
		if before := &p.members[k.member]; !before.gone {
			before.gone = true
			p.gone++
		}
	}
	k.line, k.member = p.keys.line, len(p.members)
	if k.taken {
		p.keys.names.found = true
	}
	if k.time {
		p.found = true
		ns, ok := p.parseTime(value, ref)
		if p.badTime = !ok; ok {
			p.ns, m.gone = ns, true
		}
	}
	if m.gone {
		p.gone++
	}
	p.members = append(p.members, m)
}

// nestedTime parses a time within an object, where it stays.
func (p *jsonParser) nestedTime(b *record.Batch, r *record.Record, ref int64) {
	value, ok := lookUp(b, r.Fields, p.path)
	if !ok {
		return
	}
	ns, ok := p.parseTime(value, ref)
	if p.badTime = !ok; ok {
		r.Time = ns
	}
}

func (p *jsonParser) parseTime(value []byte, ref int64) (ns int64, ok bool) {
	if value[0] == '"' {
		if value = value[1 : len(value)-1]; bytes.IndexByte(value, '\\') >= 0 {
			p.scratch = record.AppendUnescaped(p.scratch[:0], value)
			value = p.scratch
		}
	}
	return p.time.Parse(value, ref)
}

// collect makes the members that stay the fields of r: as a slice of the line if they are adjacent and need no cleaning.
func (p *jsonParser) collect(b *record.Batch, r *record.Record, clean bool) {
	all := p.members
	for len(all) > 0 && all[0].gone {
		all, p.gone = all[1:], p.gone-1
	}
	for len(all) > 0 && all[len(all)-1].gone {
		all, p.gone = all[:len(all)-1], p.gone-1
	}
	if len(all) == 0 {
		r.Fields = nil
		return
	}
	if p.gone == 0 && !clean {
		start, end := all[0].start, all[len(all)-1].end
		r.Fields = r.Line[start:end:end]
		return
	}
	at, a := len(b.Arena), b.Arena
	for _, m := range all {
		if m.gone {
			continue
		}
		a = append(a, ',')
		if clean {
			a = appendClean(a, r.Line[m.start:m.end])
		} else {
			a = append(a, r.Line[m.start:m.end]...)
		}
	}
	finish(b, r, a, at)
}
