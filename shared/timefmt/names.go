// SPDX-License-Identifier: Apache-2.0

package timefmt

import "bytes"

var (
	months = [...]string{"january", "february", "march", "april", "may", "june", "july", "august", "september",
		"october", "november", "december"}
	weekdays = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
)

func (c *clock) takeMonth(text []byte) []byte {
	i, rest := takeName(text, months[:])
	c.month, c.has = i+1, c.has|hasMonth
	return rest
}

// takeName parses one of names, whole or abbreviated to three letters, in any case. rest is nil if there is none.
func takeName(text []byte, names []string) (i int, rest []byte) {
	if len(text) < 3 {
		return 0, nil
	}
	a, b, c := text[0]|0x20, text[1]|0x20, text[2]|0x20
	for i, name := range names {
		if name[0] != a || name[1] != b || name[2] != c {
			continue
		}
		if name == "september" && len(text) > 3 && text[3]|0x20 == 't' && (len(text) == 4 || text[4]|0x20 != 'e') {
			return i, text[4:] // Sept
		}
		if n := len(name); len(text) >= n && n > 3 && bytes.EqualFold(text[3:n], []byte(name[3:])) {
			return i, text[n:]
		}
		return i, text[3:]
	}
	return 0, nil
}

// zones holds the names of zones that RFC 5322 defines. A declared zone takes precedence over all but those of UTC, and is
// used for all other names, most of which are ambiguous (CST is used in Chicago, Shanghai and Havana).
var zones = map[string]int{
	"UTC": 0, "GMT": 0, "UT": 0, "Z": 0,
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}

// takeZoneName parses the name of a zone, or an offset in its place.
func (c *clock) takeZoneName(text []byte) []byte {
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		return c.takeOffset(text)
	}
	n := 0
	for n < len(text) && text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z' {
		n++
	}
	if n == 0 {
		return nil
	}
	if name := string(text[:n]); (name == "GMT" || name == "UTC") && n < len(text) && (text[n] == '+' || text[n] == '-') {
		return c.takeOffset(text)
	}
	if hours, ok := zones[string(text[:n])]; ok {
		if c.offset = hours * 3600; hours == 0 {
			c.has |= hasOffset
		} else {
			c.has |= hasAbbreviation
		}
	}
	return text[n:]
}
