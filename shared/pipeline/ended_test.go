// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEndedFeedsAreBoundedAndTakenOnce(t *testing.T) {
	var e endedFeeds
	for i := range maxEnded + 5 {
		e.keep(Ended{Writer: strconv.Itoa(i), Declaration: "d", Output: "o", Counts: Counts{ReadRecords: 1, SentRecords: 1}})
	}
	require.Len(t, e.all, maxEnded)
	require.Equal(t, "5", e.all[0].Writer, "the oldest are forgotten")
	e.keep(Ended{Writer: "7", Declaration: "d", Output: "o", Counts: Counts{ReadRecords: 2, SentRecords: 2}})
	require.Len(t, e.all, maxEnded)
	require.Equal(t, int64(3), e.take("7", "d", "o").SentRecords)
	require.Zero(t, e.take("7", "d", "o"))
	require.Zero(t, e.take("8", "e", "o"))
}
