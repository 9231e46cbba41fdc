// SPDX-License-Identifier: Apache-2.0

package timefmt

import (
	"math"
	"strconv"
)

// number parses a decimal number since 1970, in units of unit nanoseconds. If unit is 0, the magnitude decides: today is about
// 1.7e9 s, 1.7e12 ms, 1.7e15 µs, 1.7e18 ns.
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

// exponential parses the forms with an exponent, like 1.7e9. It is as exact as number: 1.795246867123456789e9 has its
// nanoseconds.
func exponential(text []byte, negative bool, unit int64) (int64, bool) {
	var (
		digits      uint64 // without the point, at most 19 of them
		scale, seen int    // the value is digits times ten to the power of scale
		point       bool
	)
	i := 0
	for ; i < len(text) && (isDigit(text[i]) || text[i] == '.' && !point); i++ {
		switch {
		case text[i] == '.':
			point = true
			continue
		case digits < 1e18:
			digits = digits*10 + uint64(text[i]-'0')
			if point {
				scale--
			}
		case !point:
			scale++
		}
		seen++
	}
	if seen == 0 || i == len(text) || text[i]|0x20 != 'e' || len(text) > 40 {
		return 0, false
	}
	exponent, err := strconv.Atoi(string(text[i+1:]))
	if err != nil || exponent > 40 || exponent < -40 {
		return 0, false
	}
	scale += exponent
	if unit == 0 {
		unit = likelyUnit(int64(min(float64(digits)*math.Pow10(scale), math.MaxInt64/2)))
	}
	for ; unit > 1; unit /= 10 {
		scale++
	}
	for ; scale < 0; scale++ {
		digits /= 10
	}
	for ; scale > 0 && digits > 0; scale-- {
		if digits > math.MaxInt64/10 {
			return 0, false
		}
		digits *= 10
	}
	if digits > math.MaxInt64 {
		return 0, false
	}
	ns := int64(digits)
	if negative {
		ns = -ns
	}
	return ns, true
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
