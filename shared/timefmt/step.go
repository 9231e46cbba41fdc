// SPDX-License-Identifier: Apache-2.0

package timefmt

import (
	"bytes"
	"slices"
	"time"
)

// step is one piece of a compiled layout.
type step struct {
	part part
	text string // of a literal
	// min and max bound the digits of a number. A fraction has at most max digits, or any number of them if max is 0.
	min, max int
	// point means that a point or a comma precedes the fraction, and that both may be missing.
	point bool
}

// part is what a step parses.
type part uint8

const (
	literal part = iota
	blanks       // any number of them, also none
	year
	shortYear
	month
	monthName
	day
	yearDay
	hour
	halfDayHour
	minute
	second      // also with a fraction, unless the layout has one
	plainSecond // without a fraction
	fraction
	halfDay // AM, PM
	offset
	zoneName
	weekday
	ignored // a number that is redundant besides the date
	epochSeconds
	epochMillis
)

func hasTime(steps []step) bool {
	return slices.ContainsFunc(steps, func(s step) bool {
		return s.part > blanks && s.part != weekday && s.part != ignored && s.part != halfDay && s.part != offset && s.part != zoneName
	})
}

// hasDate reports whether the steps parse a date with a year.
func hasDate(steps []step) bool {
	return slices.ContainsFunc(steps, func(s step) bool {
		return s.part == year || s.part == shortYear || s.part == epochSeconds || s.part == epochMillis
	})
}

// link completes a layout: it decides what depends on the next step.
func link(steps []step) []step {
	for i := range steps {
		if steps[i].part == second && i+1 < len(steps) {
			if next := steps[i+1]; next.part == fraction || next.part == literal && (next.text[0] == '.' || next.text[0] == ',') {
				steps[i].part = plainSecond
			}
		}
	}
	return steps
}

// addFraction appends a fraction, which absorbs a point or comma at the end of the literal before it.
func addFraction(steps []step, digits int) []step {
	s := step{part: fraction, max: digits}
	if n := len(steps); n > 0 && steps[n-1].part == literal {
		before := &steps[n-1]
		if end := len(before.text) - 1; before.text[end] == '.' || before.text[end] == ',' {
			s.point = true
			if before.text = before.text[:end]; end == 0 {
				steps = steps[:n-1]
			}
		}
	}
	return append(steps, s)
}

// addLiteral appends text that matches itself, except that a blank matches any number of blanks.
func addLiteral(steps []step, text string) []step {
	for i := range len(text) {
		n, c := len(steps), text[i:i+1]
		switch {
		case isSpace(c[0]) && (n == 0 || steps[n-1].part != blanks):
			steps = append(steps, step{part: blanks})
		case isSpace(c[0]):
		case n > 0 && steps[n-1].part == literal:
			steps[n-1].text += c
		default:
			steps = append(steps, step{part: literal, text: c})
		}
	}
	return steps
}

// take parses the step at the beginning of text into c. It returns the rest, or nil if text does not fit.
func (s *step) take(c *clock, text []byte) []byte {
	switch s.part {
	case literal:
		if len(text) < len(s.text) || string(text[:len(s.text)]) != s.text {
			return nil
		}
		return text[len(s.text):]
	case blanks:
		for len(text) > 0 && isSpace(text[0]) {
			text = text[1:]
		}
		return text
	case monthName:
		return c.takeMonth(text)
	case weekday:
		_, rest := takeName(text, weekdays[:])
		return rest
	case halfDay:
		return c.takeHalfDay(text)
	case offset:
		return c.takeOffset(text)
	case zoneName:
		return c.takeZoneName(text)
	case fraction:
		return s.takeFraction(c, text)
	case epochSeconds, epochMillis:
		return s.takeEpoch(c, text)
	}
	return s.takeNumber(c, text)
}

func (s *step) takeNumber(c *clock, text []byte) []byte {
	for s.max <= 3 && len(text) > 0 && text[0] == ' ' { // padded with blanks, except a year
		text = text[1:]
	}
	n, v := 0, 0
	for n < s.max && n < len(text) && isDigit(text[n]) {
		v = v*10 + int(text[n]-'0')
		n++
	}
	if n < s.min {
		return nil
	}
	text = text[n:]
	switch s.part {
	case year:
		c.year, c.has = v, c.has|hasYear
	case shortYear:
		c.year, c.twoDigit, c.has = v, true, c.has|hasYear
	case month:
		c.month, c.has = v, c.has|hasMonth
	case day:
		c.day, c.has = v, c.has|hasDay
	case yearDay:
		c.yday, c.has = v, c.has|hasYearDay
	case hour:
		c.hour = v
	case halfDayHour:
		c.hour, c.halfDay = v, true
	case minute:
		c.minute = v
	case plainSecond:
		c.second = v
	case second:
		c.second = v
		if len(text) > 1 && (text[0] == '.' || text[0] == ',') && isDigit(text[1]) {
			return c.takeFraction(text[1:], 0)
		}
	}
	return text
}

func (s *step) takeFraction(c *clock, text []byte) []byte {
	if s.point {
		if len(text) < 2 || text[0] != '.' && text[0] != ',' || !isDigit(text[1]) {
			return text
		}
		text = text[1:]
	}
	if len(text) == 0 || !isDigit(text[0]) {
		return nil
	}
	return c.takeFraction(text, s.max)
}

// takeFraction parses the digits after a point, at most limit unless that is 0. It truncates them to nanoseconds.
func (c *clock) takeFraction(text []byte, limit int) []byte {
	n, v := 0, 0
	for n < len(text) && isDigit(text[n]) && (limit == 0 || n < limit) {
		if n < 9 {
			v = v*10 + int(text[n]-'0')
		}
		n++
	}
	for i := n; i < 9; i++ {
		v *= 10
	}
	c.nanos = v
	return text[n:]
}

func (s *step) takeEpoch(c *clock, text []byte) []byte {
	n := 0
	for n < len(text) && (isDigit(text[n]) || n == 0 && text[n] == '-') {
		n++
	}
	unit := int64(time.Second)
	if s.part == epochMillis {
		unit = int64(time.Millisecond)
	}
	ns, ok := number(text[:n], unit)
	if !ok {
		return nil
	}
	c.epoch, c.has = ns, c.has|hasEpoch
	return text[n:]
}

func (c *clock) takeHalfDay(text []byte) []byte {
	if len(text) < 2 || text[1]|0x20 != 'm' {
		return nil
	}
	switch text[0] | 0x20 {
	case 'p':
		c.afternoon = true
	case 'a':
		c.afternoon = false
	default:
		return nil
	}
	c.halfDay = true
	return text[2:]
}

// takeOffset parses Z, UTC, GMT, ±hh, ±hhmm, ±hh:mm or ±hh:mm:ss, and GMT+8.
func (c *clock) takeOffset(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	c.has |= hasOffset
	switch sign := text[0]; {
	case sign == 'Z' || sign == 'z':
		c.offset = 0
		return text[1:]
	case bytes.HasPrefix(text, []byte("UTC")) || bytes.HasPrefix(text, []byte("GMT")):
		c.offset = 0
		if text = text[3:]; len(text) > 1 && (text[0] == '+' || text[0] == '-') && isDigit(text[1]) {
			return c.takeHours(text)
		}
		return text
	case sign != '+' && sign != '-' || len(text) < 3:
		return nil
	}
	var v [3]int // hours, minutes, seconds
	rest, negative := text[1:], text[0] == '-'
	for i := range v {
		next := rest
		if i > 0 && len(next) > 0 && next[0] == ':' {
			next = next[1:]
		}
		if len(next) < 2 {
			break
		}
		n, ok := two(next)
		if !ok {
			break
		}
		v[i], rest = n, next[2:]
	}
	if len(rest) == len(text)-1 || v[0] > 24 || v[1] > 59 || v[2] > 59 {
		return nil
	}
	if c.offset = v[0]*3600 + v[1]*60 + v[2]; negative {
		c.offset = -c.offset
	}
	return rest
}

// takeHours parses the +8 or -03:30 after GMT.
func (c *clock) takeHours(text []byte) []byte {
	if len(text) > 2 && isDigit(text[2]) {
		return c.takeOffset(text)
	}
	if c.offset = int(text[1]-'0') * 3600; text[0] == '-' {
		c.offset = -c.offset
	}
	return text[2:]
}
