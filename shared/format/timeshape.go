// SPDX-License-Identifier: Apache-2.0

package format

// shape is the form of a time: 0 stands for a digit, A for the first three letters of a month, D for those of a day, and _
// after a blank for a blank or a digit. Any other byte stands for itself.
type shape string

// digitShapes and letterShapes are the times that records begin with, by their first character.
var (
	digitShapes = []shape{
		"0000-00-00T00:00", "0000-00-00 00:00", "0000-00-00_00:00", "0000/00/00 00:00", "0000/00/00-00:00", "0000.00.00 00:00", "0000-00-00, 00:00",
		"0000-00-00 00.00.00", "0000-00-00t00:00", "0000/00/00T00:00", "0000:00:00 00:00",
		"00/A/0000:00:00", "00/A/0000 00:00", "00-A-0000 00:00", "00 A 0000 00:00", "00 A 0000, 00:00", "00-A-00 00:00", "00 A 00:00:00", "0 A 0000 00:00",
		"00/00/0000 00:00", "00/00/0000, 00:00", "00-00-0000 00:00", "00.00.0000 00:00", "00/00/00 00:00", "00.00.00 00:00", "00-00-00 00:00",
		"0/0/0000 00:00", "0/00/0000 00:00", "00/0/0000 00:00", "0/0/0000, 0:00", "00/00 00:00:00", "00-00 00:00:00",
		"00000000T000000", "00000000 00:00", "00000000-00:00:00", "00000000 000000", "000000 _0:00:00", "00000000 00.00",
		"00:00:00.000", "00:00:00,000", "00:00:00 ", "00:00:00]", "00:00:00|",
		"0000000000.000", "0000000000000 ", "0000000000 ", "0000000000]", "0000000000:",
	}
	letterShapes = []shape{
		"A 00 00:00:00", "A  0 00:00:00", "A 0 00:00:00", "A 00, 0000 0", "A 0, 0000 0", "A 00 0000 00:00", "A-00-0000 00:00",
		"D A 00 00:00:00", "D A  0 00:00:00", "D, 00 A 0000 00:00", "D, 0 A 0000 00:00", "D 00 A 0000 00:00", "D 0000-00-00 00:00",
		"D A 0 00:00:00",
	}
)

// digitsFirst holds digitShapes by the number of digits at their beginning, and by the byte after these.
var digitsFirst = func() (by [15][0x80][]shape) {
	for _, s := range digitShapes {
		n := 0
		for s[n] == '0' {
			n++
		}
		by[n][s[n]] = append(by[n][s[n]], s)
	}
	return by
}()

// isTime reports whether p begins with one of the shapes.
func isTime(p []byte) bool {
	if len(p) < 8 {
		return false
	}
	switch c := p[0]; {
	case isDigit(c):
		if len(p) >= 16 && p[4] == '-' && p[13] == ':' && p[7] == '-' { // by far the most frequent
			return digitShapes[0].fits(p) || digitShapes[1].fits(p)
		}
		n := 1
		for n < len(p) && n < len(digitsFirst) && isDigit(p[n]) {
			n++
		}
		if n == len(digitsFirst) || n == len(p) || p[n] >= 0x80 {
			return false
		}
		for _, s := range digitsFirst[n][p[n]] {
			if s.fits(p) {
				return true
			}
		}
	case c >= 'A' && c <= 'Z':
		if klog := c == 'I' || c == 'W' || c == 'E' || c == 'F'; klog && shape("0000 00:00:00").fits(p[1:]) {
			return true
		}
		if !isMonth(p) && !isWeekday(p) {
			return false
		}
		for _, s := range letterShapes {
			if s.fits(p) {
				return true
			}
		}
	}
	return false
}

func (s shape) fits(p []byte) bool {
	for i := range len(s) {
		width := 1
		switch c := s[i]; {
		case len(p) == 0:
			return false
		case c == '0':
			if !isDigit(p[0]) {
				return false
			}
		case c == '_' && i > 0 && s[i-1] == ' ':
			if p[0] != ' ' && !isDigit(p[0]) {
				return false
			}
		case c == 'A' || c == 'D':
			if width = 3; c == 'A' && !isMonth(p) || c == 'D' && !isWeekday(p) {
				return false
			}
		case c != p[0]:
			return false
		}
		p = p[width:]
	}
	return true
}

func isMonth(p []byte) bool {
	return len(p) > 3 && oneOf(p, "janfebmaraprmayjunjulaugsepoctnovdec") && (p[3] < 'a' || p[3] > 'z')
}

func isWeekday(p []byte) bool {
	return len(p) > 3 && oneOf(p, "sunmontuewedthufrisat") && (p[3] < 'a' || p[3] > 'z')
}

// oneOf reports whether p begins with one of the words in all, which are of three letters each.
func oneOf(p []byte, all string) bool {
	a, b, c := p[0]|0x20, p[1]|0x20, p[2]|0x20
	for i := 0; i < len(all); i += 3 {
		if all[i] == a && all[i+1] == b && all[i+2] == c {
			return true
		}
	}
	return false
}
