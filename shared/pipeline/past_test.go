// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPastIsBoundedAndTakenOnce(t *testing.T) {
	var p past
	for i := range maxPast + 5 {
		p.keep(Past{Writer: strconv.Itoa(i), Declaration: "d", Output: "o", Counts: Counts{ReadRecords: 1, SentRecords: 1}})
	}
	require.Len(t, p.all, maxPast)
	require.Equal(t, "5", p.all[0].Writer, "the oldest are forgotten")
	p.keep(Past{Writer: "7", Declaration: "d", Output: "o", Counts: Counts{ReadRecords: 2, SentRecords: 2}})
	require.Len(t, p.all, maxPast)
	require.Equal(t, int64(3), p.take("7", "d", "o").SentRecords)
	require.Zero(t, p.take("7", "d", "o"))
	require.Zero(t, p.take("8", "e", "o"))
}
