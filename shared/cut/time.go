// SPDX-License-Identifier: Apache-2.0

package cut

// parseTime parses an RFC 3339 time, with any number of decimals, as nanoseconds since 1970. It accepts only the form that the
// runtimes write.
func parseTime(p []byte) (nano int64, ok bool) {
	const second = len("2006-01-02T15:04:05")
	if len(p) <= second {
		return 0, false
	}
	unix, ok := parseSecond(p[:second])
	if !ok {
		return 0, false
	}
	rest := p[second:]
	fraction := int64(0)
	if rest[0] == '.' {
		scale, n := int64(1e8), 1
		for ; n < len(rest) && '0' <= rest[n] && rest[n] <= '9'; n++ {
			fraction += int64(rest[n]-'0') * scale
			scale /= 10
		}
		if rest = rest[n:]; n == 1 || len(rest) == 0 {
			return 0, false
		}
	}
	east, ok := zoneOffset(rest)
	return (unix-int64(east))*1e9 + fraction, ok
}

// parseSecond parses a time of the form 2006-01-02T15:04:05 as seconds since 1970 in UTC. p must have that length.
func parseSecond(p []byte) (unix int64, ok bool) {
	if p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':' {
		return 0, false
	}
	bad := 0 // pairs that are not two digits
	two := func(i int) int {
		tens, ones := int(p[i])-'0', int(p[i+1])-'0'
		if tens < 0 || tens > 9 || ones < 0 || ones > 9 {
			bad++
		}
		return 10*tens + ones
	}
	year, month, day := 100*two(0)+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	if bad > 0 || year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	return daysSince1970(year, month, day)*86400 + int64(hour*3600+minute*60+second), true
}

// zoneOffset parses Z or a zone like +08:00 as seconds east of Greenwich.
func zoneOffset(p []byte) (offset int, ok bool) {
	if len(p) == 1 && p[0] == 'Z' {
		return 0, true
	}
	if len(p) != len("+08:00") || p[3] != ':' || p[0] != '+' && p[0] != '-' {
		return 0, false
	}
	for _, i := range []int{1, 2, 4, 5} {
		if p[i] < '0' || p[i] > '9' {
			return 0, false
		}
	}
	offset = (int(p[1]-'0')*10+int(p[2]-'0'))*3600 + (int(p[4]-'0')*10+int(p[5]-'0'))*60
	if p[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// daysSince1970 counts the days of the Gregorian calendar. Its years begin in March, so that leap days come last.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*month-457)/5 + day - 719469)
}
