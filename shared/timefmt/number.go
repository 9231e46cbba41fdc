// SPDX-License-Identifier: Apache-2.0

package timefmt

import (
	"math"
	"strconv"
)

// number reads a decimal number of units, each of unit nanoseconds, since 1970. Where unit is 0, the magnitude decides:
// today is about 1.7e9 s, 1.7e12 ms, 1.7e15 µs, 1.7e18 ns.
func number(text []byte, unit int64) (int64, bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	n, whole := 0, int64(0)
	for n < len(text) && isDigit(text[n]) {
		if whole > (math.MaxInt64-9)/10 {
			return 0, false
		}
		whole = whole*10 + int64(text[n]-'0')
		n++
	}
	if n == 0 {
		return 0, false
	}
	if rest := text[n:]; len(rest) > 0 && rest[0] != '.' {
		return exponential(text, negative, unit)
	}
	if unit == 0 {
		unit = likelyUnit(whole)
	}
	if whole > math.MaxInt64/unit-1 {
		return 0, false
	}
	ns := whole * unit
	if n < len(text) {
		scale := unit
		for n++; n < len(text) && isDigit(text[n]); n++ {
			scale /= 10
			ns += int64(text[n]-'0') * scale
		}
		if n < len(text) {
			return exponential(text, negative, unit)
		}
	}
	if negative {
		ns = -ns
	}
	return ns, true
}

// exponential reads what number leaves: 1.7e9. Nobody writes it who cares for nanoseconds, so that 53 bits will do.
func exponential(text []byte, negative bool, unit int64) (int64, bool) {
	if len(text) > 40 {
		return 0, false
	}
	for _, c := range text { // ParseFloat knows hexadecimal, infinities and underscores, too
		if !isDigit(c) && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || v > math.MaxInt64/2 {
		return 0, false
	}
	if unit == 0 {
		unit = likelyUnit(int64(v))
	}
	if v *= float64(unit); v >= math.MaxInt64 {
		return 0, false
	}
	if negative {
		v = -v
	}
	return int64(v), true
}

func likelyUnit(v int64) int64 {
	switch {
	case v < 1e11:
		return 1e9
	case v < 1e14:
		return 1e6
	case v < 1e17:
		return 1e3
	}
	return 1
}
