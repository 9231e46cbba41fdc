// SPDX-License-Identifier: Apache-2.0

package format

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Three hundred containers, each halfway through a group of lines of nearly 1 MiB: what there is no room for is delivered
// in parts, marked as such, and no line of it is lost.
func TestGroupsOfAllChainsAreBounded(t *testing.T) {
	const streams, lines, size = 300, 9, 100 << 10
	src, line := newSource(), strings.Repeat("x", size)
	chains := make([]*Chain, streams)
	arrived := make([]int, streams)
	take := func(i int, b *record.Batch) {
		for _, r := range b.Records {
			require.True(t, r.Truncated)
			arrived[i] += strings.Count(string(r.Line), "\n") + 1
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	held := holding.Load()
	before := heap()
	for i := range chains {
		chains[i] = newChain(t, declare.Declaration{Multiline: map[string]string{"start": "^a"}}, src)
	}
	var highest int64
	offset := int64(0)
	for range lines {
		for i, c := range chains { // as a feed does
			b := batchOf(src, &offset, line)
			applyAll(c, b, 0, readAt, false)
			c.Expire(b, readAt)
			take(i, b)
			require.LessOrEqual(t, holding.Load(), held+heldAtMost+2<<20)
		}
		highest = max(highest, heap()-before)
	}
	t.Logf("%d MiB at most", highest>>20)
	require.Less(t, highest, int64(2*heldAtMost))
	for i, c := range chains {
		b := record.NewBatch(0)
		if i%2 == 0 {
			c.Discard()
			require.EqualValues(t, -1, c.Open())
			continue
		}
		applyAll(c, b, 0, readAt, true)
		for _, r := range b.Records {
			arrived[i] += strings.Count(string(r.Line), "\n") + 1
		}
		require.Equal(t, lines, arrived[i])
	}
	require.Equal(t, held, holding.Load(), "what chains held was given back")
}
