// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"
	"math/bits"
)

// A record batch, version 2 (kafka.apache.org/documentation/#recordbatch), is a header of fixed size and the records after it,
// compressed together or not. A record holds the difference between its offset and the first one's, so it must be renumbered
// when it moves to another batch; the rest of it is unchanged.
//
//	record: length, attributes (1 byte), time to the batch's, offset to the batch's, key, value, headers
//
// Numbers in a record are zigzag varints. key, value, names and headers are preceded by their length or count.
const (
	headerBytes = 61 // of a record batch

	atLength    = 8  // bytes that follow
	atEpoch     = 12 // the partition leader's; -1 if not known
	atMagic     = 16
	atChecksum  = 17 // CRC-32C of what follows
	atCodec     = 21 // attributes; the lowest bits are the codec
	atLast      = 23 // the last record's offset to the first one's
	atBaseTime  = 27
	atMaxTime   = 35
	atProducer  = 43
	atProdEpoch = 51
	atSequence  = 53
	atCount     = 57
)

// stamp holds what a record batch's header says about its records.
type stamp struct {
	codec      int8
	count      int
	base, last int64 // milliseconds since 1970: the base of the records' times, and the latest time
	producer
	sequence int32 // of the first record
}

// seal writes the header into the room for it at the beginning of p, which is the whole batch.
func seal(p []byte, s stamp, left *folded) {
	be := binary.BigEndian
	be.PutUint64(p, 0) // the broker assigns the offset
	be.PutUint32(p[atLength:], uint32(len(p)-atEpoch))
	be.PutUint32(p[atEpoch:], 0xffffffff)
	p[atMagic] = 2
	be.PutUint16(p[atCodec:], uint16(s.codec))
	be.PutUint32(p[atLast:], uint32(s.count-1))
	be.PutUint64(p[atBaseTime:], uint64(s.base))
	be.PutUint64(p[atMaxTime:], uint64(s.last))
	be.PutUint64(p[atProducer:], uint64(s.id))
	be.PutUint16(p[atProdEpoch:], uint16(s.epoch))
	be.PutUint32(p[atSequence:], uint32(s.sequence))
	be.PutUint32(p[atCount:], uint32(s.count))
	be.PutUint32(p[atChecksum:], checksum(p[atCodec:], left))
}

// varintLen returns the number of bytes that binary.AppendVarint writes for n, which must not be negative.
func varintLen(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }

// noLength is room for a length.
var noLength [binary.MaxVarintLen32]byte

// putLength writes the number of bytes after the room of wide bytes at p[at:] into that room. If the number has another width,
// it moves those bytes. It returns p and the width.
func putLength(p []byte, at, wide int) ([]byte, int) {
	from := at + wide
	n := len(p) - from
	need := varintLen(n)
	if need != wide {
		p = append(p, noLength[:max(need-wide, 0)]...)
		copy(p[at+need:], p[from:from+n])
		p = p[:at+need+n]
	}
	binary.PutVarint(p[at:], int64(n))
	return p, need
}

// appendRenumbered appends the record at the beginning of p as number n of another batch.
func appendRenumbered(dst, p []byte, n int) []byte {
	p = recordBody(p)
	_, size := binary.Varint(p[1:])
	front := p[:1+size]
	_, size = binary.Varint(p[len(front):])
	rest := p[len(front)+size:]
	dst = binary.AppendVarint(dst, int64(len(front)+varintLen(n)+len(rest)))
	dst = append(dst, front...)
	dst = binary.AppendVarint(dst, int64(n))
	return append(dst, rest...)
}

// recordBody returns the record at the beginning of p without its length.
func recordBody(p []byte) []byte {
	length, size := binary.Varint(p)
	return p[size : size+int(length)]
}

// recordTime returns the time of the record at the beginning of p, relative to its batch's base.
func recordTime(p []byte) int64 {
	delta, _ := binary.Varint(recordBody(p)[1:])
	return delta
}

// recordIdentity returns the value of the first header of the record at the beginning of p.
func recordIdentity(p []byte) []byte {
	p = recordBody(p)[1:]
	for range 2 { // time, offset
		_, size := binary.Varint(p)
		p = p[size:]
	}
	_, p = cutBytes(p) // key
	_, p = cutBytes(p) // value
	_, size := binary.Varint(p)
	_, p = cutBytes(p[size:]) // the header's name
	id, _ := cutBytes(p)
	return id
}

// cutBytes splits off bytes that are preceded by their length.
func cutBytes(p []byte) (b, rest []byte) {
	n, size := binary.Varint(p)
	return p[size : size+int(n)], p[size+int(n):]
}
