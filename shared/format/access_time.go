// SPDX-License-Identifier: Apache-2.0

package format

import "github.com/remora-logs/remora/shared/timefmt"

// commonTime reads the time of the common log format, 21/Nov/2026:08:00:00 +0000. It remembers the day and the offset that it
// read last, because neighbours share them, and reads only the rest.
type commonTime struct {
	parser   *timefmt.Parser
	day      [len("21/Nov/2026:")]byte
	offset   [len(" +0000")]byte
	midnight int64 // of day in offset, in ns since 1970
}

func newCommonTime() (commonTime, error) {
	parser, err := timefmt.New("%d/%b/%Y:%H:%M:%S %z", "")
	return commonTime{parser: parser}, err
}

// Parse returns what its parser makes of text.
func (c *commonTime) Parse(text []byte, ref int64) (ns int64, ok bool) {
	const clock = len("21/Nov/2026:")
	const offset = clock + len("08:00:00")
	if len(text) != offset+len(c.offset) {
		return c.parser.Parse(text, ref)
	}
	since, valid := clockTime(text[clock:offset])
	valid = valid && text[offset] == ' ' // as nothing that is remembered yet begins
	if valid && string(text[:clock]) == string(c.day[:]) && string(text[offset:]) == string(c.offset[:]) {
		return c.midnight + since, true
	}
	ns, ok = c.parser.Parse(text, ref)
	if ok && valid && text[2] == '/' && text[6] == '/' && text[clock-1] == ':' {
		copy(c.day[:], text)
		copy(c.offset[:], text[offset:])
		c.midnight = ns - since
	}
	return ns, ok
}

// clockTime reads 08:00:00 as nanoseconds since midnight.
func clockTime(p []byte) (ns int64, ok bool) {
	_ = p[7]
	hour, minute, second := twoDigits(p[0], p[1]), twoDigits(p[3], p[4]), twoDigits(p[6], p[7])
	if hour > 23 || minute > 59 || second > 59 || p[2] != ':' || p[5] != ':' {
		return 0, false
	}
	return int64(hour*3600+minute*60+second) * 1e9, true
}

// twoDigits returns the number that two digits spell, and more than 99 where they are none.
func twoDigits(tens, ones byte) uint {
	t, o := uint(tens-'0'), uint(ones-'0')
	if t > 9 || o > 9 {
		return 100
	}
	return 10*t + o
}
