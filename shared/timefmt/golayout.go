// SPDX-License-Identifier: Apache-2.0

package timefmt

import "strings"

// elements are the elements of Go's layouts. Of those that begin alike, the longer come first.
var elements = []struct {
	text string
	step step
}{
	{"January", step{part: monthName}},
	{"Jan", step{part: monthName}},
	{"Monday", step{part: weekday}},
	{"Mon", step{part: weekday}},
	{"MST", step{part: zoneName}},
	{"2006", step{part: year, min: 4, max: 4}},
	{"__2", step{part: yearDay, min: 1, max: 3}},
	{"_2", step{part: day, min: 1, max: 2}},
	{"002", step{part: yearDay, min: 3, max: 3}},
	{"01", step{part: month, min: 1, max: 2}},
	{"02", step{part: day, min: 1, max: 2}},
	{"03", step{part: halfDayHour, min: 1, max: 2}},
	{"04", step{part: minute, min: 1, max: 2}},
	{"05", step{part: second, min: 1, max: 2}},
	{"06", step{part: shortYear, min: 2, max: 2}},
	{"15", step{part: hour, min: 1, max: 2}},
	{"1", step{part: month, min: 1, max: 2}},
	{"2", step{part: day, min: 1, max: 2}},
	{"3", step{part: halfDayHour, min: 1, max: 2}},
	{"4", step{part: minute, min: 1, max: 2}},
	{"5", step{part: second, min: 1, max: 2}},
	{"PM", step{part: halfDay}},
	{"pm", step{part: halfDay}},
	{"Z07:00:00", step{part: offset}}, {"Z070000", step{part: offset}}, {"Z07:00", step{part: offset}},
	{"Z0700", step{part: offset}}, {"Z07", step{part: offset}},
	{"-07:00:00", step{part: offset}}, {"-070000", step{part: offset}}, {"-07:00", step{part: offset}},
	{"-0700", step{part: offset}}, {"-07", step{part: offset}},
}

// compileGo compiles a layout of package time. It accepts what time.Parse accepts, and also numbers with fewer digits, a comma
// for a point, and Z for an offset.
func compileGo(layout string) []step {
	var steps []step
next:
	for len(layout) > 0 {
		if n := goFraction(layout); n > 0 {
			steps = addFraction(addLiteral(steps, "."), 0)
			layout = layout[n:]
			continue
		}
		for _, e := range elements {
			if strings.HasPrefix(layout, e.text) && !startsWord(layout, e.text) {
				steps = append(steps, e.step)
				layout = layout[len(e.text):]
				continue next
			}
		}
		steps = addLiteral(steps, layout[:1])
		layout = layout[1:]
	}
	return link(steps)
}

// startsWord reports whether Jan or Mon begins another word and so is not an element. Like package time, it does if a
// lower-case letter follows.
func startsWord(layout, text string) bool {
	return (text == "Jan" || text == "Mon") && len(layout) > 3 && layout[3] >= 'a' && layout[3] <= 'z'
}

// goFraction returns the length of an element like .000 or ,999 at the beginning of layout; 0 if there is none.
func goFraction(layout string) int {
	if len(layout) < 2 || layout[0] != '.' && layout[0] != ',' || layout[1] != '0' && layout[1] != '9' {
		return 0
	}
	n := 1
	for n < len(layout) && layout[n] == layout[1] {
		n++
	}
	if n < len(layout) && isDigit(layout[n]) {
		return 0
	}
	return n
}
