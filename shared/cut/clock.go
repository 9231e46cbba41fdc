// SPDX-License-Identifier: Apache-2.0

package cut

import "encoding/binary"

// clock parses the times of one stream as parseTime does. It caches the last second and zone, which consecutive entries
// usually share. The zero value is ready to use.
type clock struct {
	second [len("2006-01-02T15:04:05")]byte
	zone   [len("+08:00")]byte
	unix   int64 // of second, without the zone
	east   int64 // of zone, in seconds
}

// read parses the time at the beginning of p, which has one to nine decimals, as nanoseconds since 1970. n is its length. n is
// 0 if the time has another form, which is left to parseTime.
func (c *clock) read(p []byte) (nano int64, n int) {
	const second = len("2006-01-02T15:04:05")
	if len(p) < second+len(".123456789+08:00") || p[4] != '-' || p[second] != '.' {
		return 0, 0
	}
	if string(p[:second]) != string(c.second[:]) && !c.remember(p[:second]) {
		return 0, 0
	}
	fraction, decimals := readFraction(p[second+1:])
	if decimals == 0 {
		return 0, 0
	}
	nano, n = c.unix*1e9+fraction, second+1+decimals
	switch p[n] {
	case 'Z':
		return nano, n + 1
	case '+', '-':
	default:
		return 0, 0
	}
	if text := p[n : n+len(c.zone)]; string(text) != string(c.zone[:]) {
		east, ok := zoneOffset(text)
		if !ok {
			return 0, 0
		}
		copy(c.zone[:], text)
		c.east = int64(east)
	}
	return nano - c.east*1e9, n + len(c.zone)
}

// readLast is read for a time that may lie less than the 35 bytes that read needs before the end of p.
func (c *clock) readLast(p []byte) (nano int64, n int) {
	var padded [len("2006-01-02T15:04:05.123456789+08:00")]byte
	if len(p) < len(padded) {
		copy(padded[:], p)
		p = padded[:]
	}
	return c.read(p)
}

// readFraction parses one to nine decimals at the beginning of p as nanoseconds. p must hold more than nine bytes. n is the
// number of decimals; 0 if there are none or more than nine.
func readFraction(p []byte) (nano int64, n int) {
	if first, ok := eightDigits(binary.LittleEndian.Uint64(p)); ok {
		if ninth := p[8] - '0'; ninth > 9 {
			return first * 10, 8
		} else if p[9]-'0' > 9 {
			return first*10 + int64(ninth), 9
		}
		return 0, 0
	}
	for scale := int64(1e8); p[n]-'0' <= 9; n++ {
		nano += int64(p[n]-'0') * scale
		scale /= 10
	}
	return nano, n
}

func (c *clock) remember(second []byte) bool {
	unix, ok := parseSecond(second)
	if ok {
		copy(c.second[:], second)
		c.unix = unix
	}
	return ok
}

// eightDigits parses eight decimal digits, the first in the lowest byte. It combines digits into pairs, pairs into fours and
// fours into eight, all groups of one size at once.
func eightDigits(w uint64) (v int64, ok bool) {
	w ^= 0x30303030_30303030
	if (w|(w+0x06060606_06060606))&0xf0f0f0f0_f0f0f0f0 != 0 {
		return 0, false
	}
	w = w*10 + w>>8
	const pairs = 0x000000ff_000000ff
	w = (w&pairs*(100+1_000_000<<32) + w>>16&pairs*(1+10_000<<32)) >> 32
	return int64(w), true
}
