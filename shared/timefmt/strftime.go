// SPDX-License-Identifier: Apache-2.0

package timefmt

import "fmt"

// directives are those of strftime in C, Ruby and Python. Numbers may have fewer digits than strftime writes.
var directives = map[byte]step{
	'Y': {part: year, min: 4, max: 4},
	'y': {part: shortYear, min: 2, max: 2},
	'm': {part: month, min: 1, max: 2},
	'B': {part: monthName}, 'b': {part: monthName}, 'h': {part: monthName},
	'd': {part: day, min: 1, max: 2}, 'e': {part: day, min: 1, max: 2},
	'j': {part: yearDay, min: 1, max: 3},
	'H': {part: hour, min: 1, max: 2}, 'k': {part: hour, min: 1, max: 2},
	'I': {part: halfDayHour, min: 1, max: 2}, 'l': {part: halfDayHour, min: 1, max: 2},
	'M': {part: minute, min: 1, max: 2},
	'S': {part: second, min: 1, max: 2},
	'p': {part: halfDay}, 'P': {part: halfDay},
	'z': {part: offset}, 'Z': {part: zoneName},
	'A': {part: weekday}, 'a': {part: weekday},
	'u': {part: ignored, min: 1, max: 1}, 'w': {part: ignored, min: 1, max: 1},
	'U': {part: ignored, min: 1, max: 2}, 'W': {part: ignored, min: 1, max: 2},
	's': {part: epochSeconds}, 'Q': {part: epochMillis},
}

// shorthands are directives that stand for others.
var shorthands = map[byte]string{
	'F': "%Y-%m-%d", 'T': "%H:%M:%S", 'X': "%H:%M:%S", 'R': "%H:%M", 'r': "%I:%M:%S %p", 'D': "%m/%d/%y", 'x': "%m/%d/%y",
	'c': "%a %b %e %H:%M:%S %Y", '+': "%a %b %e %H:%M:%S %Z %Y", 'v': "%e-%b-%Y", 'n': " ", 't': " ",
}

func compileStrftime(layout string) ([]step, error) {
	steps, err := appendStrftime(nil, layout)
	return link(steps), err
}

func appendStrftime(steps []step, layout string) ([]step, error) {
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' {
			steps = addLiteral(steps, layout[i:i+1])
			continue
		}
		begin, width := i, 0
		for i++; i < len(layout) && isFlag(layout[i]); i++ {
			if isDigit(layout[i]) {
				width = min(width*10+int(layout[i]-'0'), 9)
			}
		}
		if i == len(layout) {
			return nil, fmt.Errorf("the layout ends within the directive %s", layout[begin:])
		}
		var err error
		switch c := layout[i]; {
		case c == '%':
			steps = addLiteral(steps, "%")
		case c == 'L' || c == 'N' || c == 'f':
			steps = addFraction(steps, width)
		case shorthands[c] != "":
			if steps, err = appendStrftime(steps, shorthands[c]); err != nil {
				return nil, err
			}
		default:
			s, ok := directives[c]
			if !ok {
				return nil, fmt.Errorf("the directive %s is unknown", layout[begin:i+1])
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// isFlag reports whether c may stand between % and a directive's letter: padding, width, case. Parsing ignores all of them
// except the width of a fraction.
func isFlag(c byte) bool {
	switch c {
	case '-', '_', '0', '^', '#', ':', 'E', 'O':
		return true
	}
	return isDigit(c)
}
