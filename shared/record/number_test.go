// SPDX-License-Identifier: Apache-2.0

package record

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// edges are numbers beside which the way of writing changes.
var edges = []int64{0, 1, 9, 10, 35, 36, 36 * 36, 99_999_999, 1e8, 36*36*36*36 - 1, 36 * 36 * 36 * 36, 1e15, 1e16 - 1, 1e16,
	36*36*36*36*36*36*36*36 - 1, 36 * 36 * 36 * 36 * 36 * 36 * 36 * 36, math.MaxInt64 - 1, math.MinInt64 + 1}

func TestNumbersAreWrittenAsStrconvDoes(t *testing.T) {
	same := func(t require.TestingT, v int64) {
		require.Equal(t, "x"+strconv.FormatInt(v, 10), string(appendDecimal([]byte("x"), v)))
		require.Equal(t, "x"+strconv.FormatInt(v, 36), string(appendBase36([]byte("x"), v)))
	}
	for _, v := range edges {
		for d := int64(-1); d <= 1; d++ {
			same(t, v+d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		same(t, rapid.Int64().Draw(t, "v")>>rapid.IntRange(0, 63).Draw(t, "shift"))
	})
}

func BenchmarkAppendOffset(b *testing.B) {
	var dst []byte
	b.Run("decimal", func(b *testing.B) {
		for i := range b.N {
			dst = appendDecimal(dst[:0], 123456789+int64(i)*183)
		}
	})
	b.Run("base 36", func(b *testing.B) {
		for i := range b.N {
			dst = appendBase36(dst[:0], 123456789+int64(i)*183)
		}
	})
}
