// SPDX-License-Identifier: Apache-2.0

package pb

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLengthsAreMinimalWhateverWasExpected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := bytes.Repeat([]byte{7}, rapid.IntRange(0, 40_000).Draw(t, "length"))
		dst, m := Begin([]byte("before"), 3, rapid.IntRange(0, 40_000).Draw(t, "expected"))
		dst = End(append(dst, body...), m)
		require.Equal(t, Bytes([]byte("before"), 3, body), dst)
	})
}

func TestTextIsAlwaysUTF8(t *testing.T) {
	require.Equal(t, Bytes(nil, 1, []byte("a\ufffdb\ufffd")), Text(nil, 1, []byte("a\xffb\xc3")))
	require.Equal(t, Bytes(nil, 1, []byte("ü")), String(nil, 1, "ü"))
}

func TestNumbers(t *testing.T) {
	require.Equal(t, []byte{0x08, 0x96, 0x01}, Uint(nil, 1, 150)) // the example of the encoding's documentation
	require.Equal(t, []byte{0x09, 1, 0, 0, 0, 0, 0, 0, 0}, Fixed64(nil, 1, 1))
}

func TestPairIsAMessageOfTwoStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.SampledFrom([]byte("abc\xc3\xbc\xff")), 0, 200).Draw(t, "value")
		want, m := Begin(nil, 2, 0)
		want = End(Text(Text(want, 1, []byte("key")), 2, value), m)
		require.Equal(t, want, Pair(nil, 2, "key", value))
	})
}
