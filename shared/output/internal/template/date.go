// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// units are the parts of a date, as Java and so Filebeat write them; ww and YYYY are the ISO 8601 week and its year.
var units = []string{"yyyy", "YYYY", "MM", "dd", "HH", "ww"}

// Date is a placeholder for the time of a record.
type Date struct {
	layout string // Go's; empty if there are weeks, which Go's layouts lack
	week   string // as it was written
}

// ParseDate parses the text between the braces; ok is false if it is not a date.
func ParseDate(word string) (d Date, ok bool) {
	rest := word
	for _, unit := range units {
		rest = strings.ReplaceAll(rest, unit, "")
	}
	if rest == word || strings.ContainsFunc(rest, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return d, false
	}
	if strings.Contains(word, "ww") || strings.Contains(word, "YYYY") {
		return Date{week: word}, true
	}
	return Date{layout: strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15").Replace(word)}, true
}

// Format returns the date of t, in t's zone.
func (d Date) Format(t time.Time) string {
	if d.week == "" {
		return t.Format(d.layout)
	}
	year, week := t.ISOWeek()
	return strings.NewReplacer("yyyy", t.Format("2006"), "YYYY", fmt.Sprintf("%04d", year), "MM", t.Format("01"), "dd", t.Format("02"),
		"HH", t.Format("15"), "ww", fmt.Sprintf("%02d", week)).Replace(d.week)
}

// every is a quarter of an hour. The days of all zones begin at a multiple of it.
const every = int64(15 * time.Minute)

// Period returns the number of the period that holds ns, in nanoseconds since 1970. Within one, no date changes in any zone.
func Period(ns int64) int64 {
	n := ns / every
	if ns%every < 0 {
		n--
	}
	return n
}
