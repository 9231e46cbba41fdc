// SPDX-License-Identifier: Apache-2.0

package format

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/timefmt"
)

// What is remembered of the times before shows in none.
func TestCommonTimeIsAsItsParserHasIt(t *testing.T) {
	zones := []*time.Location{time.UTC, time.UTC, time.FixedZone("", 8*3600), time.FixedZone("", -11*3600-1800)}
	rapid.Check(t, func(t *rapid.T) {
		common, err := newCommonTime()
		require.NoError(t, err)
		at := time.Date(2026, 2, 28, 23, 59, 50, 0, time.UTC)
		for range rapid.IntRange(1, 40).Draw(t, "lines") {
			at = at.Add(time.Duration(rapid.Int64Range(-5, 30).Draw(t, "later")) * time.Second)
			text := at.In(rapid.SampledFrom(zones).Draw(t, "zone")).AppendFormat(nil, "02/Jan/2006:15:04:05 -0700")
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "damages") {
				i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
				text[i] = rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("0123456789:/ +-"))).Draw(t, "damage")
			}
			parser, err := timefmt.New("%d/%b/%Y:%H:%M:%S %z", "")
			require.NoError(t, err)
			want, wantOK := parser.Parse(text, at.UnixNano())
			got, ok := common.Parse(text, at.UnixNano())
			require.Equal(t, wantOK, ok, "%q", text)
			if ok {
				require.Equal(t, want, got, "%q", text)
			}
		}
	})
}

// Nothing is remembered at first.
func TestCommonTimeOfZeros(t *testing.T) {
	common, err := newCommonTime()
	require.NoError(t, err)
	var text [len("21/Nov/2026:08:00:00 +0000")]byte
	copy(text[len("21/Nov/2026:"):], "08:00:00")
	_, ok := common.Parse(text[:], 1)
	require.False(t, ok)
}
