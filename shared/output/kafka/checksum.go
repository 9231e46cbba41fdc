// SPDX-License-Identifier: Apache-2.0

package kafka

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	foldBlock = 256 // bytes of a turn of foldWide, and of its result
	foldLeast = 4 * foldBlock
)

// folded is memory for checksum, which would otherwise allocate it each time.
type folded [foldBlock]byte

// checksum returns the CRC-32C of p. Folding takes half the time of the standard library, if the processor can.
func checksum(p []byte, left *folded) uint32 {
	if !foldable || len(p) < foldLeast {
		return crc32.Checksum(p, castagnoli)
	}
	// A CRC is the remainder of a division. The result of folding has the same remainder as all that was folded. It is divided
	// from the state 0, because it includes the initial state. The library inverts a state on its way in and out.
	whole := len(p) &^ (foldBlock - 1)
	foldWide(left, p[:whole])
	return crc32.Update(crc32.Update(^uint32(0), castagnoli, left[:]), castagnoli, p[whole:])
}
