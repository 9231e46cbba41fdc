// SPDX-License-Identifier: Apache-2.0

package kafka

import "encoding/binary"

// partitionOf chooses one of count partitions as Kafka's own Java client does (BuiltInPartitioner.partitionForKey), so that
// other producers' records of the same key go to the same partition.
func partitionOf(key []byte, count int32) int32 { return int32(murmur2(key)&0x7fffffff) % count }

// murmur2 is Austin Appleby's 32-bit hash with the seed that Kafka uses (Utils.murmur2).
func murmur2(key []byte) uint32 {
	const seed, m = 0x9747b28c, 0x5bd1e995
	h := seed ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		k = (k ^ k>>24) * m
		h = h*m ^ k
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
