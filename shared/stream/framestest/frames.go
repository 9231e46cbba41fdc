// SPDX-License-Identifier: Apache-2.0

// Package framestest writes and reads frames for tests, as the engine does at its end of a FIFO.
package framestest

import (
	"encoding/binary"
	"fmt"
)

// Entry is a LogEntry (moby api/types/plugins/logdriver/entry.proto).
type Entry struct {
	Source   string
	TimeNano int64
	Line     []byte
	Partial  bool
	// ID, Ordinal and Last are the metadata of a piece of a longer message; ID is empty if there are none.
	ID      string
	Ordinal int
	Last    bool
}

// Append appends e as a frame to dst: a big-endian length and the entry in protobuf's wire format, with fields in ascending
// order and zero values omitted, as the engine's encoder does.
func Append(dst []byte, e Entry) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendBytes(dst, 1, []byte(e.Source))
	dst = appendVarint(dst, 2, uint64(e.TimeNano))
	dst = appendBytes(dst, 3, e.Line)
	dst = appendVarint(dst, 4, bit(e.Partial))
	if e.ID != "" {
		meta := appendVarint(nil, 1, bit(e.Last))
		meta = appendBytes(meta, 2, []byte(e.ID))
		meta = appendVarint(meta, 3, uint64(e.Ordinal))
		dst = appendBytes(dst, 5, meta)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// Line returns a frame of a whole line on stdout.
func Line(format string, args ...any) []byte {
	return Append(nil, Entry{Source: "stdout", TimeNano: 1_700_000_000_000_000_000, Line: fmt.Appendf(nil, format, args...)})
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func appendVarint(dst []byte, field int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, byte(field<<3)), v)
}

func appendBytes(dst []byte, field int, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, byte(field<<3|2)), uint64(len(p)))
	return append(dst, p...)
}

// Next splits the first frame off p and returns its entry in wire format, and the rest. ok is false if p has no whole frame.
func Next(p []byte) (entry, rest []byte, ok bool) {
	if len(p) < 4 {
		return nil, p, false
	}
	n := int64(binary.BigEndian.Uint32(p)) + 4
	if int64(len(p)) < n {
		return nil, p, false
	}
	return p[4:n], p[n:], true
}
