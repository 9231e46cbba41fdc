// SPDX-License-Identifier: Apache-2.0

// Package frame is the engine's wire format of log entries: a length and a LogEntry in protobuf's wire format, again and
// again (moby api/types/plugins/logdriver/io.go and entry.proto). It is what the FIFO of a log driver carries, what the
// spool stores, and what docker logs is answered with. Package cut decodes entries.
package frame

import "encoding/binary"

const (
	// HeaderLen is the length of what precedes each entry: a big-endian uint32, the entry's length.
	HeaderLen = 4
	// MaxLen bounds the length that a frame may claim. The engine cuts messages at 16 KiB (moby daemon/logger/copier.go,
	// defaultBufSize) and adds some hundred bytes; attributes of the log line may come on top.
	MaxLen = 1 << 20
)

// Wire types of protobuf, and the tags of a LogEntry: number<<3 | type. Entries have grown before, and will again.
const (
	VarintType, Fixed64Type, BytesType, Fixed32Type = 0, 1, 2, 5

	SourceTag   = 1<<3 | BytesType
	TimeTag     = 2<<3 | VarintType
	LineTag     = 3<<3 | BytesType
	PartialTag  = 4<<3 | VarintType
	MetadataTag = 5<<3 | BytesType

	LastTag = 1<<3 | VarintType // of PartialLogEntryMetadata
	IDTag   = 2<<3 | BytesType
)

// Len reads the length of the entry that header precedes. It is not ok where no entry can be so long: an empty one does
// not occur, since each has a time.
func Len(header []byte) (n int, ok bool) {
	length := binary.BigEndian.Uint32(header)
	return int(length), length > 0 && length <= MaxLen
}

// Append appends a line as docker logs wants it: a frame with its source, time in ns since 1970, and line, whose newline
// the reader of the frame is to add.
func Append(dst []byte, source string, timeNano int64, line []byte, newline bool) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, SourceTag)
	dst = binary.AppendUvarint(dst, uint64(len(source)))
	dst = append(dst, source...)
	dst = binary.AppendUvarint(append(dst, TimeTag), uint64(timeNano))
	n := len(line)
	if newline {
		n++
	}
	dst = binary.AppendUvarint(append(dst, LineTag), uint64(n))
	dst = append(dst, line...)
	if newline {
		dst = append(dst, '\n')
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-HeaderLen))
	return dst
}
