// SPDX-License-Identifier: Apache-2.0

// Package pb appends protocol buffers' wire format to memory, for the messages that outputs write: generated code
// would make an object of each record first.
package pb

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Wire types (protobuf.dev/programming-guides/encoding).
const (
	varint  = 0
	fixed64 = 1
	lengthy = 2
	fixed32 = 5
)

func tag(dst []byte, field, wire int) []byte {
	return binary.AppendUvarint(dst, uint64(field)<<3|uint64(wire))
}

// Uint appends a field of int32, int64, uint32, uint64, bool or enum that is not negative.
func Uint(dst []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(tag(dst, field, varint), v)
}

// Fixed64 appends a field of fixed64.
func Fixed64(dst []byte, field int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(tag(dst, field, fixed64), v)
}

// Fixed32 appends a field of fixed32.
func Fixed32(dst []byte, field int, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(tag(dst, field, fixed32), v)
}

// Bytes appends a field of bytes.
func Bytes(dst []byte, field int, p []byte) []byte {
	dst = binary.AppendUvarint(tag(dst, field, lengthy), uint64(len(p)))
	return append(dst, p...)
}

// Text appends a field of string. What is not UTF-8, which readers refuse, becomes U+FFFD.
func Text(dst []byte, field int, p []byte) []byte {
	if isUTF8(p) {
		return Bytes(dst, field, p)
	}
	dst, mark := Begin(dst, field, len(p))
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		dst = utf8.AppendRune(dst, r)
		p = p[size:]
	}
	return End(dst, mark)
}

// isUTF8 is utf8.Valid with a loop in front for the ASCII that most texts are.
func isUTF8(p []byte) bool {
	const highs = 0x80808080_80808080
	for ; len(p) >= 32; p = p[32:] {
		w := binary.LittleEndian.Uint64(p) | binary.LittleEndian.Uint64(p[8:]) |
			binary.LittleEndian.Uint64(p[16:]) | binary.LittleEndian.Uint64(p[24:])
		if w&highs != 0 {
			break
		}
	}
	return utf8.Valid(p)
}

// Pair appends as field a message of two strings, of which key, of field 1, is UTF-8 of less than 128 bytes, and value has
// field 2.
func Pair(dst []byte, field int, key string, value []byte) []byte {
	const keyTag, valueTag = 1<<3 | lengthy, 2<<3 | lengthy
	if !isUTF8(value) {
		dst, mark := Begin(dst, field, len(key)+len(value)+4)
		dst = append(append(dst, keyTag, byte(len(key))), key...)
		return End(Text(dst, 2, value), mark)
	}
	dst = binary.AppendUvarint(tag(dst, field, lengthy), uint64(2+len(key)+1+width(len(value))+len(value)))
	dst = append(append(dst, keyTag, byte(len(key))), key...)
	dst = binary.AppendUvarint(append(dst, valueTag), uint64(len(value)))
	return append(dst, value...)
}

// String is Text for a string.
func String(dst []byte, field int, s string) []byte { return Text(dst, field, []byte(s)) }

// Mark is where a message within a message began.
type Mark struct{ at, width int }

// Begin begins a message, or anything else with a length, as field. expect is about how long it will be: a wrong guess
// costs moving it by a byte or two.
func Begin(dst []byte, field, expect int) ([]byte, Mark) {
	dst = tag(dst, field, lengthy)
	m := Mark{at: len(dst), width: width(expect)}
	return append(dst, make([]byte, m.width)...), m
}

// End ends the message that began at m.
func End(dst []byte, m Mark) []byte {
	body := m.at + m.width
	n := len(dst) - body
	if w := width(n); w != m.width {
		var room [binary.MaxVarintLen64]byte
		dst = append(dst, room[:w]...) // more than enough where it grows, cut off again where it shrinks
		copy(dst[m.at+w:], dst[body:body+n])
		dst = dst[:m.at+w+n]
	}
	binary.PutUvarint(dst[m.at:], uint64(n))
	return dst
}

// width returns how many bytes n takes as a varint.
func width(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }
