// SPDX-License-Identifier: Apache-2.0

package format

import "github.com/remora-logs/remora/shared/timefmt"

// commonTime parses the time of the common log format, 21/Nov/2026:08:00:00 +0000. It caches the last day and offset, which
// neighbours share, and then parses only the rest.
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

// Parse parses text as its parser does.
func (c *commonTime) Parse(text []byte, ref int64) (ns int64, ok bool) {
	const clock = len("21/Nov/2026:")
	const offset = clock + len("08:00:00")
	if len(text) != offset+len(c.offset) {
		return c.parser.Parse(text, ref)
	}
	since, valid := clockTime(text[clock:offset])
	valid = valid && text[offset] == ' ' // unlike the zero value of offset
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

// clockTime parses 08:00:00 as nanoseconds since midnight.
func clockTime(p []byte) (ns int64, ok bool) {
	_ = p[7]
	hour, minute, second := twoDigits(p[0], p[1]), twoDigits(p[3], p[4]), twoDigits(p[6], p[7])
	if hour > 23 || minute > 59 || second > 59 || p[2] != ':' || p[5] != ':' {
		return 0, false
	}
	return int64(hour*3600+minute*60+second) * 1e9, true
}

// twoDigits returns the value of two digits; more than 99 if they are not digits.
func twoDigits(tens, ones byte) uint {
	t, o := uint(tens-'0'), uint(ones-'0')
	if t > 9 || o > 9 {
		return 100
	}
	return 10*t + o
}
