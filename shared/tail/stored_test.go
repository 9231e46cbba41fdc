// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/fingerprint"
)

// After a restart each stream of a directory is found again, and then is no stored one any more. All names may have one stem.
func TestStoredStreamsOfOneStemAreRemovedOneByOne(t *testing.T) {
	const n = 20_000
	set, all := newStoredSet(), make([]*storedStream, n)
	for i := range all {
		all[i] = &storedStream{key: fmt.Sprint(i), mark: fingerprint.Mark{Path: fmt.Sprintf("/logs/f%d.log", i), Ino: uint64(i)}}
		set.add(all[i])
	}
	require.Len(t, set.related("f1.log"), n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i, m := range all {
		set.remove(m)
		if i == n/2-1 {
			require.Len(t, set.related("f1.log"), n/2)
		}
	}
	runtime.ReadMemStats(&after)
	require.Empty(t, set.stems)
	require.Empty(t, set.numbers)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(n*1000), "a removal copies what is left")
}
