// SPDX-License-Identifier: Apache-2.0

// Package timefmt parses the times in log lines. A layout is compiled once, and parsing allocates nothing.
//
// A layout is one of the names unix, unix_ms, unix_us, unix_ns and rfc3339, a strftime layout such as %Y-%m-%dT%H:%M:%S.%L%z,
// or a layout of Go's package time. Without a layout, a time may have one of ISO 8601's forms, or another unmistakable form,
// or be a number of seconds, milliseconds, microseconds or nanoseconds since 1970, whichever its magnitude makes likely.
package timefmt

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // images that are built from scratch have no zones of their own
)

// Parser parses the times of one layout. It caches the last text that it parsed, because neighbours usually share it, so it is
// not for concurrent use.
type Parser struct {
	read func(p *Parser, text []byte, ref int64) (ns int64, ok bool)

	steps []step // of a layout
	unit  int64  // of a number, in nanoseconds
	zone  zone
	// others are the parsers that a parser without a layout tries in turn, beginning with the last that fitted.
	others []*Parser
	fits   int
	dates  bool // a number is a time only if it is of this century

	last   [48]byte
	length int
	ns     int64
	// floats means that the result depends on ref, so it must not be cached.
	floats bool
}

// New compiles layout. location is the zone of times that have none of their own: a name of the IANA database, Local, or an
// offset such as +08:00; empty means UTC.
func New(layout, location string) (*Parser, error) {
	z, err := newZone(location)
	if err != nil {
		return nil, err
	}
	p := &Parser{zone: z}
	switch strings.ToLower(strings.TrimSpace(layout)) {
	case "":
		p.read = (*Parser).guess
		for _, layout := range guesses {
			other, err := New(layout, location)
			if err != nil {
				return nil, err
			}
			p.others = append(p.others, other)
		}
	case "rfc3339", "%iso8601", "iso8601":
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

// NewDate is New without a layout, for text that need not be a time: a number counts as one only if it is unlikely to be
// anything else.
func NewDate(location string) (*Parser, error) {
	p, err := New("", location)
	if err == nil {
		p.dates = true
	}
	return p, err
}

// guesses are the layouts that are tried without a declaration, besides those of ISO 8601.
var guesses = []string{
	"%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %Z", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y", "%b %d %H:%M:%S",
	"%d %b %Y %H:%M:%S", "%d-%b-%Y %H:%M:%S %Z", "%b %d, %Y %I:%M:%S %p",
}

func compile(layout string) ([]step, error) {
	if strings.Contains(layout, "%") {
		return compileStrftime(layout)
	}
	return compileGo(layout), nil
}

// Parse parses all of text, apart from blanks around it, as nanoseconds since 1970. ref, also in nanoseconds since 1970,
// completes the date: without a year, the time is the latest that is at most a day after ref; without a date, it is the one
// nearest to ref. ok is false if text is not such a time, or is one that int64 can't hold (years before 1678 and after 2261).
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

// guess parses a time without a layout: one of ISO 8601's forms, a number since 1970, or one of guesses.
func (p *Parser) guess(text []byte, ref int64) (int64, bool) {
	p.floats = false
	if ns, ok := p.rfc3339(text, ref); ok {
		return ns, true
	}
	if n := len(text); n > 0 && (isDigit(text[0]) || text[0] == '-') {
		if ns, ok := number(text, 0); ok && (!p.dates || ns >= 1e18 && text[0] != '-') { // September 2001
			return ns, true
		}
	}
	for i := range p.others {
		n := (p.fits + i) % len(p.others)
		if ns, ok := p.others[n].read(p.others[n], text, ref); ok {
			p.fits, p.floats = n, p.others[n].floats
			return ns, true
		}
	}
	return 0, false
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

// rfc3339 parses 2006-01-02T15:04:05.999999999Z07:00 and its common variants: slashes or points in the date, a blank for the
// T, a comma for the point, an offset without its colon, no offset at all; 20060102T150405; a bare date; and what Go's
// Time.String adds after an offset.
func (p *Parser) rfc3339(text []byte, _ int64) (int64, bool) {
	c := clock{has: hasYear | hasMonth | hasDay}
	rest, ok := c.takeDate(text)
	if !ok {
		return 0, false
	}
	if len(rest) == 0 && len(p.others) == 0 { // a bare date is only accepted without a layout
		return 0, false
	}
	if len(rest) > 0 {
		if rest, ok = c.takeTime(rest, len(text)-len(rest) == len("20060102")); !ok {
			return 0, false
		}
	}
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	if len(rest) > 0 {
		if rest = c.takeOffset(rest); rest == nil {
			return 0, false
		}
		if len(rest) > 0 && !isGoSuffix(rest) {
			return 0, false
		}
	}
	return c.resolve(&p.zone, 0)
}

// takeDate parses 2006-01-02, 2006/01/02, 2006.01.02 or 20060102.
func (c *clock) takeDate(text []byte) (rest []byte, ok bool) {
	if len(text) < 8 {
		return nil, false
	}
	century, ok0 := two(text)
	year, ok1 := two(text[2:])
	m, d, n := 4, 6, 8
	if sep := text[4]; sep == '-' || sep == '/' || sep == '.' {
		if m, d, n = 5, 8, 10; len(text) < n || text[7] != sep {
			return nil, false
		}
	} else if len(text) > 8 && text[8] != 'T' {
		return nil, false
	}
	month, ok2 := two(text[m:])
	day, ok3 := two(text[d:])
	c.year, c.month, c.day = century*100+year, month, day
	return text[n:], ok0 && ok1 && ok2 && ok3 && (n == 10 || len(text) > 8)
}

// takeTime parses T15:04:05.999 or T15:04, or T150405 if packed is set, which means that the date is packed too.
func (c *clock) takeTime(text []byte, packed bool) (rest []byte, ok bool) {
	if text[0] != 'T' && text[0] != ' ' && text[0] != 't' || len(text) < 6 {
		return nil, false
	}
	text = text[1:]
	minutes := 2
	if !packed {
		if minutes = 3; text[2] != ':' {
			return nil, false
		}
	}
	var ok1, ok2, ok3 bool
	if len(text) < minutes+2 {
		return nil, false
	}
	c.hour, ok1 = two(text)
	c.minute, ok2 = two(text[minutes:])
	text, ok3 = text[minutes+2:], true
	switch {
	case packed && len(text) > 1 && isDigit(text[0]):
		c.second, ok3 = two(text)
		text = text[2:]
	case !packed && len(text) > 2 && text[0] == ':':
		c.second, ok3 = two(text[1:])
		text = text[3:]
	default:
		return text, ok1 && ok2
	}
	if len(text) > 1 && (text[0] == '.' || text[0] == ',') && isDigit(text[1]) {
		text = c.takeFraction(text[1:], 0)
	}
	return text, ok1 && ok2 && ok3
}

// isGoSuffix reports whether text is what Go's Time.String writes after the offset: the zone's name, and the reading of the
// monotonic clock.
func isGoSuffix(text []byte) bool {
	name, clock, more := bytes.Cut(trim(text), []byte(" m="))
	for _, c := range name {
		if !(c|0x20 >= 'a' && c|0x20 <= 'z') && c != '+' && c != '-' && !isDigit(c) {
			return false
		}
	}
	for _, c := range clock {
		if !isDigit(c) && c != '.' && c != '+' && c != '-' {
			return false
		}
	}
	return text[0] == ' ' && len(name) > 0 && len(name) < 8 && (!more || len(clock) > 0)
}

// two parses two digits.
func two(p []byte) (int, bool) {
	a, b := p[0]-'0', p[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// zone is the zone of times without an offset.
type zone struct {
	offset   int            // seconds east of UTC, if location is nil
	location *time.Location // if the offset depends on the time
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

// locations caches locations by name, because thousands of declarations share a few. There are some 600 names in all.
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
