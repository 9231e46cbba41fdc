// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The library is the oracle: for each length around the blocks, wherever p begins in memory and whatever lies behind it.
func TestChecksumAsTheLibraryHasIt(t *testing.T) {
	memory := make([]byte, 3<<10+64)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(memory)
	for n := range 3 << 10 {
		for _, from := range []int{0, n % 64} {
			p := memory[from : from+n]
			require.Equal(t, crc32.Checksum(p, castagnoli), checksum(p, new(folded)), "%d from %d", n, from)
		}
	}
}

// Each bit counts, in each place.
func TestChecksumOfEachBit(t *testing.T) {
	p := make([]byte, foldLeast+foldBlock+17)
	for i := range 8 * len(p) {
		p[i/8] ^= 1 << (i % 8)
		require.Equal(t, crc32.Checksum(p, castagnoli), checksum(p, new(folded)), i)
		p[i/8] = 0
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte("line"), uint16(1000))
	f.Add([]byte{0xff}, uint16(4096))
	f.Fuzz(func(t *testing.T, p []byte, times uint16) {
		all := make([]byte, 0, len(p)*int(times%5000))
		for range times % 5000 {
			all = append(all, p...)
		}
		require.Equal(t, crc32.Checksum(all, castagnoli), checksum(all, new(folded)))
	})
}

func BenchmarkChecksum(b *testing.B) {
	p := make([]byte, requestBytes)
	b.SetBytes(int64(len(p)))
	var left folded
	for b.Loop() {
		checksum(p, &left)
	}
}

func BenchmarkChecksumLibrary(b *testing.B) {
	p := make([]byte, requestBytes)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		crc32.Checksum(p, castagnoli)
	}
}
