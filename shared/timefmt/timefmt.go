// SPDX-License-Identifier: Apache-2.0

// Package timefmt parses the times that stand in log lines, as fast as lines come: a layout is compiled once, and
// parsing allocates nothing.
//
// A layout is one of the names unix, unix_ms, unix_us, unix_ns and rfc3339, a strftime layout such as
// %Y-%m-%dT%H:%M:%S.%L%z, or a layout of Go's package time. Without a layout, a time is RFC 3339 or a number of seconds,
// milliseconds, microseconds or nanoseconds since 1970, whichever its magnitude makes likely.
package timefmt

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // images that are built from scratch have no zones of their own
)

// Parser parses the times of one layout. It remembers the last text that it parsed, because neighbours mostly share it,
// and so is not for concurrent use.
type Parser struct {
	read func(p *Parser, text []byte, ref int64) (ns int64, ok bool)

	steps []step // of a layout
	unit  int64  // of a number: nanoseconds in one
	zone  zone

	last   [48]byte
	length int
	ns     int64
	// floats says that the result depends on ref, so that it may not be remembered.
	floats bool
}

// New compiles layout. location is where times without a zone of their own are at home: a name of the IANA database,
// Local, or an offset such as +08:00; empty means UTC.
func New(layout, location string) (*Parser, error) {
	z, err := newZone(location)
	if err != nil {
		return nil, err
	}
	p := &Parser{zone: z}
	switch strings.ToLower(strings.TrimSpace(layout)) {
	case "":
		p.read = (*Parser).guess
	case "rfc3339":
		p.read = (*Parser).rfc3339
	case "unix":
		p.read, p.unit = (*Parser).number, int64(time.Second)
	case "unix_ms":
		p.read, p.unit = (*Parser).number, int64(time.Millisecond)
	case "unix_us":
		p.read, p.unit = (*Parser).number, int64(time.Microsecond)
	case "unix_ns":
		p.read, p.unit = (*Parser).number, 1
	default:
		p.read = (*Parser).layout
		if p.steps, err = compile(layout); err != nil {
			return nil, err
		}
		if !hasTime(p.steps) {
			return nil, errors.New("the layout names no part of a time: it is neither a strftime layout (%Y-%m-%d …), " +
				"nor one of Go's (2006-01-02 …), nor unix, unix_ms, unix_us, unix_ns or rfc3339")
		}
		p.floats = !hasDate(p.steps)
	}
	return p, nil
}

func compile(layout string) ([]step, error) {
	if strings.Contains(layout, "%") {
		return compileStrftime(layout)
	}
	return compileGo(layout), nil
}

// Parse parses text, all of it but for blanks around it, to nanoseconds since 1970. Where the layout has no year, or no
// date, ref, in nanoseconds since 1970 too, decides: the time is the latest one that is not after it, give or take half
// a day. ok is false where text is not such a time, or one that int64 can't hold (years before 1678 and after 2261).
func (p *Parser) Parse(text []byte, ref int64) (ns int64, ok bool) {
	if string(text) == string(p.last[:p.length]) && p.length > 0 {
		return p.ns, true
	}
	if ns, ok = p.read(p, trim(text), ref); ok && !p.floats && len(text) <= len(p.last) {
		p.length, p.ns = copy(p.last[:], text), ns
	}
	return ns, ok
}

func trim(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool { return c-'0' <= 9 }

// guess reads what is a time to most people: RFC 3339, or a number since 1970.
func (p *Parser) guess(text []byte, ref int64) (int64, bool) {
	if len(text) > 4 && text[4] == '-' {
		return p.rfc3339(text, ref)
	}
	return number(text, 0)
}

func (p *Parser) number(text []byte, _ int64) (int64, bool) { return number(text, p.unit) }

// layout runs the compiled layout over text.
func (p *Parser) layout(text []byte, ref int64) (int64, bool) {
	var c clock
	for i := range p.steps {
		if text = p.steps[i].take(&c, text); text == nil {
			return 0, false
		}
	}
	if len(text) > 0 {
		return 0, false
	}
	return c.resolve(&p.zone, ref)
}

// RFC3339 parses text as RFC 3339, with nothing around it; a time without a zone is in UTC.
func RFC3339(text []byte) (ns int64, ok bool) {
	return (&Parser{}).rfc3339(text, 0)
}

// rfc3339 reads 2006-01-02T15:04:05.999999999Z07:00, and what people write for it: a blank for the T, a comma for the
// point, an offset without its colon, no offset at all.
func (p *Parser) rfc3339(text []byte, _ int64) (int64, bool) {
	if len(text) < len("2006-01-02T15:04:05") || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
		text[10] != 'T' && text[10] != ' ' && text[10] != 't' {
		return 0, false
	}
	century, ok0 := two(text)
	year, ok1 := two(text[2:])
	month, ok2 := two(text[5:])
	day, ok3 := two(text[8:])
	hour, ok4 := two(text[11:])
	minute, ok5 := two(text[14:])
	second, ok6 := two(text[17:])
	if !(ok0 && ok1 && ok2 && ok3 && ok4 && ok5 && ok6) {
		return 0, false
	}
	c := clock{has: hasYear | hasMonth | hasDay}
	c.year, c.month, c.day = century*100+year, month, day
	c.hour, c.minute, c.second = hour, minute, second
	text = text[19:]
	if len(text) > 1 && (text[0] == '.' || text[0] == ',') && isDigit(text[1]) {
		text = c.takeFraction(text[1:], 0)
	}
	for len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	if len(text) > 0 {
		if text = c.takeOffset(text); len(text) > 0 || text == nil {
			return 0, false
		}
	}
	return c.resolve(&p.zone, 0)
}

// two reads two digits.
func two(p []byte) (int, bool) {
	a, b := p[0]-'0', p[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// zone is where a time without an offset is at home.
type zone struct {
	offset   int            // seconds east of UTC, where location is nil
	location *time.Location // where the offset depends on the time
	declared bool
}

func newZone(name string) (zone, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return zone{}, nil
	}
	if c := (clock{}); name[0] == '+' || name[0] == '-' {
		if rest := c.takeOffset([]byte(name)); rest != nil && len(rest) == 0 {
			return zone{offset: c.offset, declared: true}, nil
		}
		return zone{}, fmt.Errorf("%q is not an offset like +08:00", name)
	}
	if strings.EqualFold(name, "local") {
		return zone{location: time.Local, declared: true}, nil
	}
	if strings.EqualFold(name, "utc") || strings.EqualFold(name, "z") {
		return zone{declared: true}, nil
	}
	location, err := load(name)
	if err != nil {
		return zone{}, fmt.Errorf("%q is no time zone: neither a name like Asia/Shanghai nor an offset like +08:00", name)
	}
	return zone{location: location, declared: true}, nil
}

// locations are those that were loaded, by name: thousands of declarations share a few. There are some 600 names in all.
var locations sync.Map

func load(name string) (*time.Location, error) {
	if l, ok := locations.Load(name); ok {
		return l.(*time.Location), nil
	}
	l, err := time.LoadLocation(name)
	if err == nil {
		locations.Store(name, l)
	}
	return l, err
}
