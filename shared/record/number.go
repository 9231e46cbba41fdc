// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Every record carries its offset twice, as a number and in its identity. strconv does a division for every two digits, which
// took a fifth of all the time spent on a line. These functions convert eight or four digits at a time.

// zeros is eight digits 0.
const zeros = 0x30303030_30303030

// appendDecimal appends v in base 10, as strconv.AppendInt does.
func appendDecimal(dst []byte, v int64) []byte {
	const group = 100_000_000
	switch {
	case v < 0 || v >= group*group:
		return strconv.AppendInt(dst, v, 10)
	case v < group:
		return appendStripped(dst, eightDigits(uint64(v)))
	}
	dst = appendStripped(dst, eightDigits(uint64(v)/group))
	return binary.LittleEndian.AppendUint64(dst, eightDigits(uint64(v)%group))
}

// appendStripped appends eight digits without leading zeros, but at least one digit.
func appendStripped(dst []byte, digits uint64) []byte {
	leading := bits.TrailingZeros64(digits^zeros|1<<56) / 8
	return binary.LittleEndian.AppendUint64(dst, digits>>(8*leading))[:len(dst)+8-leading]
}

// eightDigits returns the decimal digits of v < 1e8, the first in the lowest byte. It splits v into groups of four, two and
// one digits, all groups of one size at once. 10486/2^20 and 103/2^10 are 1/100 and 1/10, precisely enough for these groups.
func eightDigits(v uint64) uint64 {
	v = v/10000 | v%10000<<32
	hundreds := v * 10486 >> 20 & 0x0000007f_0000007f
	v = hundreds | (v-100*hundreds)<<16
	tens := v * 103 >> 10 & 0x000f000f_000f000f
	return (tens | (v-10*tens)<<8) + zeros
}

// appendBase36 appends v in base 36, as strconv.AppendInt does.
func appendBase36(dst []byte, v int64) []byte {
	const group = 36 * 36 * 36 * 36
	if v < group || v >= group*group {
		return strconv.AppendInt(dst, v, 36)
	}
	high := fourDigits36(uint32(v / group))
	leading := bits.TrailingZeros32(high^uint32(zeros&0xffffffff)|1<<24) / 8
	dst = binary.LittleEndian.AppendUint32(dst, high>>(8*leading))[:len(dst)+4-leading]
	return binary.LittleEndian.AppendUint32(dst, fourDigits36(uint32(v%group)))
}

// fourDigits36 returns the base 36 digits of v < 36^4, the first in the lowest byte.
func fourDigits36(v uint32) uint32 {
	return uint32(pairs36[v/1296]) | uint32(pairs36[v%1296])<<16
}

// pairs36 holds all pairs of digits in base 36.
var pairs36 = func() (pairs [1296]uint16) {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	for i := range pairs {
		pairs[i] = uint16(digits[i/36]) | uint16(digits[i%36])<<8
	}
	return pairs
}()
