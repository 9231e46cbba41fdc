// SPDX-License-Identifier: Apache-2.0

package timefmt

import (
	"math"
	"time"
)

// clock holds what was parsed of a time so far.
type clock struct {
	year, month, day, yday       int
	hour, minute, second, nanos  int
	offset                       int // seconds east of UTC
	epoch                        int64
	has                          parts
	afternoon, halfDay, twoDigit bool // PM; a 12-hour clock; a year of two digits
}

// parts is the set of parts that a clock has; their values do not show it.
type parts uint16

const (
	hasYear parts = 1 << iota
	hasMonth
	hasDay
	hasYearDay
	hasOffset
	hasAbbreviation // offset is RFC 5322's for a zone name, used if no zone is declared
	hasEpoch
)

// A time without a year is the latest that is at most yearSlack after ref, and one without a date the nearest to ref: clocks
// differ, and zones are omitted. Both are in seconds.
const (
	yearSlack = 24 * 3600
	daySlack  = 12 * 3600
)

// resolve returns the time that the clock shows, in nanoseconds since 1970.
func (c *clock) resolve(z *zone, ref int64) (int64, bool) {
	if c.has&hasEpoch != 0 {
		return add(c.epoch, int64(c.nanos))
	}
	if c.halfDay {
		if c.hour < 1 || c.hour > 12 {
			return 0, false
		}
		c.hour %= 12
		if c.afternoon {
			c.hour += 12
		}
	}
	if c.hour > 23 || c.minute > 59 || c.second > 60 {
		return 0, false
	}
	if c.twoDigit { // POSIX: 69 to 99 are of the last century
		if c.year += 2000; c.year >= 2069 {
			c.year -= 100
		}
	}
	sec, ok := c.seconds(z, ref)
	if !ok || sec > math.MaxInt64/int64(time.Second)-1 || sec < math.MinInt64/int64(time.Second)+1 {
		return 0, false
	}
	return sec*int64(time.Second) + int64(c.nanos), true
}

// seconds returns the time in seconds since 1970, and completes the date from ref if needed.
func (c *clock) seconds(z *zone, ref int64) (int64, bool) {
	if c.has&hasYear != 0 {
		return c.at(z)
	}
	now := floor(ref, int64(time.Second))
	today := time.Unix(now, 0).In(z.in(c))
	c.year = today.Year()
	if c.has&(hasMonth|hasDay|hasYearDay) == 0 { // the time of a day
		c.month, c.day, c.has = int(today.Month()), today.Day(), c.has|hasMonth|hasDay
		sec, ok := c.at(z)
		switch {
		case sec > now+daySlack: // it is yesterday's
			sec -= 86400
		case sec <= now-daySlack: // it is tomorrow's
			sec += 86400
		}
		return sec, ok
	}
	// Try next year's, and then earlier years' back to the last that had a February 29.
	for c.year, today = c.year+1, today.AddDate(-8, 0, 0); c.year >= today.Year(); c.year-- {
		if sec, ok := c.at(z); ok && sec <= now+yearSlack {
			return sec, true
		}
	}
	return 0, false
}

// at returns the seconds since 1970 of a clock with a year.
func (c *clock) at(z *zone) (int64, bool) {
	month, day := c.month, c.day
	if c.has&hasYearDay != 0 {
		if c.yday < 1 || c.yday > 366 || c.yday == 366 && !leap(c.year) {
			return 0, false
		}
		month, day = 1, 1
	} else {
		if c.has&hasMonth == 0 {
			month = 1
		}
		if c.has&hasDay == 0 {
			day = 1
		}
		if month < 1 || month > 12 || day < 1 || day > daysIn(c.year, month) {
			return 0, false
		}
	}
	days := daysSince1970(c.year, month, day)
	if c.has&hasYearDay != 0 {
		days += int64(c.yday - 1)
	}
	sec := days*86400 + int64(c.hour*3600+c.minute*60+c.second)
	switch {
	case c.knowsOffset(z):
		return sec - int64(c.offset), true
	case z.location == nil:
		return sec - int64(z.offset), true
	}
	return z.toUTC(sec), true
}

func (c *clock) knowsOffset(z *zone) bool {
	return c.has&hasOffset != 0 || c.has&hasAbbreviation != 0 && !z.declared
}

// toUTC returns when a clock in the zone shows what a clock in UTC shows at sec. Of a time that it shows twice, toUTC returns
// the first. For a time that it skips, toUTC uses the offset before the change.
func (z *zone) toUTC(sec int64) int64 {
	offset := func(at int64) int64 {
		_, seconds := time.Unix(at, 0).In(z.location).Zone()
		return int64(seconds)
	}
	before := offset(sec - 86400) // offsets are less than a day, and their changes months apart
	if t := sec - before; offset(t) == before {
		return t
	}
	after := offset(sec + 86400)
	if t := sec - after; offset(t) == after {
		return t
	}
	return sec - before
}

// in returns the zone as a location: the clock's own offset if it has one.
func (z *zone) in(c *clock) *time.Location {
	switch {
	case c.knowsOffset(z):
		return time.FixedZone("", c.offset)
	case z.location != nil:
		return z.location
	}
	return time.FixedZone("", z.offset)
}

// daysSince1970 counts days of the Gregorian calendar. Its years begin in March, so that the leap day is the last of its year,
// and every five months have 153 days.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468)
}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if leap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

func floor(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

// add returns a+b; ok is false if that overflows.
func add(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}
