// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

// Outputs tell records of one moment apart by their number, which must not depend on where a read or a batch ends.
func TestRecordsOfOneMomentAreNumberedAcrossReads(t *testing.T) {
	r := new(reader)
	var got []uint32
	for _, times := range [][]int64{{5, 5, 6}, {6, 6}, {}, {6, 7, 7}} {
		records := make([]record.Record, len(times))
		for i, at := range times {
			records[i].Time = at
		}
		r.numberSameTimes(records)
		for _, of := range records {
			got = append(got, of.SameTime)
		}
	}
	require.Equal(t, []uint32{0, 1, 0, 1, 2, 3, 0, 1}, got)
}
