// SPDX-License-Identifier: Apache-2.0

package fingerprint

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestMarkIsDecodedAsItWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Mark{
			Dev: rapid.Uint64().Draw(t, "dev"), Ino: rapid.Uint64().Draw(t, "ino"), Birth: rapid.Int64().Draw(t, "birth"),
			ModTime: rapid.Int64().Draw(t, "mtime"), Off: rapid.Int64Min(0).Draw(t, "off"), Size: rapid.Int64().Draw(t, "size"),
			Head: Head{N: rapid.IntRange(0, HeadSize).Draw(t, "n"), sum: rapid.Uint64().Draw(t, "sum")},
			Tail: rapid.Uint64().Draw(t, "tail"), Packed: rapid.Bool().Draw(t, "packed"),
			Path: rapid.String().Draw(t, "path"), Unused: rapid.Int64().Draw(t, "unused"),
		}
		got, err := Decode(m.Encode())
		require.NoError(t, err)
		require.Equal(t, m, got)
	})
}

// Marks that this version of the format must read for ever.
func TestMarkOfAnEarlierVersion(t *testing.T) {
	m, err := Decode([]byte("\x01\x00\x01\x02\x03\x04\x05\x06\x07AAAAAAAABBBBBBBB/logs/x.log"))
	require.NoError(t, err)
	require.Equal(t, Mark{Dev: 1, Ino: 2, Birth: 3, ModTime: 4, Off: 5, Size: 6, Head: Head{7, 0x4141414141414141},
		Tail: 0x4242424242424242, Path: "/logs/x.log"}, m)
}

func FuzzDecode(f *testing.F) {
	m := Mark{Dev: 1, Ino: 2, Off: 3, Size: 4, Path: "/x", Unused: 5}
	f.Add(m.Encode())
	f.Add([]byte{1, 3, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, m.Off, int64(0))
		require.LessOrEqual(t, m.Head.N, HeadSize)
		again, err := Decode(m.Encode())
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

func TestAMarkHoldsForItsFileOnly(t *testing.T) {
	text := []byte(strings.Repeat("a line of a log\n", 200))
	for _, off := range []int64{0, 1, 63, 64, 65, 1000, int64(len(text))} {
		head, err := HeadOf(bytes.NewReader(text), HeadSize)
		require.NoError(t, err)
		p, err := ProofAt(bytes.NewReader(text), off)
		require.NoError(t, err)
		m := Mark{Off: off, Head: head, Tail: p.Hash()}
		holds := func(c []byte) bool {
			same, err := m.Holds(bytes.NewReader(c))
			require.NoError(t, err)
			return same
		}
		require.True(t, holds(text), off)
		require.True(t, holds(append(bytes.Clone(text), "more"...)), off)
		require.False(t, holds(append([]byte("b"), text[1:]...)), off)
		if off > HeadSize {
			changed := bytes.Clone(text)
			changed[off-1]++
			require.False(t, holds(changed), off)
			require.False(t, holds(text[:off-1]), off)
		}
	}
}

// A proof that was extended piece by piece is the one that is read at its offset.
func TestProofIsExtended(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 4000)
	for i := range text {
		text[i] = byte(rng.Uint32())
	}
	for range 1000 {
		var p Proof
		at := 0
		for at < len(text) {
			from := max(0, at-rng.IntN(100)) // what was read may be read again
			to := min(len(text), at+1+rng.IntN(200))
			p.Extend(text[from:to], int64(from))
			at = max(at, to)
			want, err := ProofAt(bytes.NewReader(text), int64(at))
			require.NoError(t, err)
			require.Equal(t, want, p)
			same, err := p.Holds(bytes.NewReader(text))
			require.NoError(t, err)
			require.True(t, same)
		}
	}
}
