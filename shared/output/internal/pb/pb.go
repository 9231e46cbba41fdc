// SPDX-License-Identifier: Apache-2.0

// Package pb encodes protocol buffers for the messages that outputs write. Generated code would first make an object of each
// record.
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

// Uint appends a non-negative field of type int32, int64, uint32, uint64, bool or enum.
func Uint(dst []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(tag(dst, field, varint), v)
}

// Fixed64 appends a field of type fixed64.
func Fixed64(dst []byte, field int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(tag(dst, field, fixed64), v)
}

// Fixed32 appends a field of type fixed32.
func Fixed32(dst []byte, field int, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(tag(dst, field, fixed32), v)
}

// Bytes appends a field of type bytes.
func Bytes(dst []byte, field int, p []byte) []byte {
	dst = binary.AppendUvarint(tag(dst, field, lengthy), uint64(len(p)))
	return append(dst, p...)
}

// Text appends a field of type string. Readers refuse invalid UTF-8, so it becomes U+FFFD.
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

// isUTF8 is utf8.Valid with a fast path for ASCII, which most texts are.
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

// Pair appends as field a message of two strings: key as field 1, and value as field 2. key must be UTF-8 of less than 128 bytes.
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

// Mark is the place where a nested message began.
type Mark struct{ at, width int }

// Begin begins a message, or any other field with a length. expect is its approximate length: a wrong guess costs moving the
// message by a few bytes.
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
		dst = append(dst, room[:w]...) // more than enough if the prefix grows; cut off below
		copy(dst[m.at+w:], dst[body:body+n])
		dst = dst[:m.at+w+n]
	}
	binary.PutUvarint(dst[m.at:], uint64(n))
	return dst
}

// width returns the number of bytes of n as a varint.
func width(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }
