// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// units are what a date may be made of, as Java and so Filebeat write it; ww and YYYY are the week and its year by ISO 8601.
var units = []string{"yyyy", "YYYY", "MM", "dd", "HH", "ww"}

// Date is a placeholder that stands for the time of a record.
type Date struct {
	layout string // Go's; empty where there are weeks, which Go's layouts have not
	week   string // as it was written
}

// ParseDate reads what is between the braces; ok is false where it is no date.
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

// every is a quarter of an hour, which divides the days of all zones.
const every = int64(15 * time.Minute)

// Period numbers the stretches of time, of ns since 1970, in which all dates in all zones are the same.
func Period(ns int64) int64 {
	n := ns / every
	if ns%every < 0 {
		n--
	}
	return n
}
