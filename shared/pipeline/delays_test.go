// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

func TestDelaysCountEachRecordOnce(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	before := func(d time.Duration) int64 { return now.Add(-d).UnixNano() }
	var d delays
	d.observe(&ackRange{read: tally{records: 10}, refused: 1, parked: 2, booked: 3, written: before(time.Second)}, now)
	d.observe(&ackRange{read: tally{records: 2}, written: before(48 * time.Hour)}, now)
	d.observe(&ackRange{read: tally{records: 3}, written: before(-time.Hour)}, now) // a clock that goes back
	d.observe(&ackRange{read: tally{records: 5}}, now)                              // a gap's marker was written by nobody
	d.observe(&ackRange{read: tally{records: 1}, refused: 1, written: before(time.Second)}, now)
	all := d.get()
	require.Equal(t, [len(DelayBounds) + 1]int64{0: 3, 3: 4, len(DelayBounds): 2}, all.Buckets)
	require.InDelta(t, 4+2*48*3600, all.Seconds, 1e-6)
	d.observe(&ackRange{read: tally{records: 1}, written: 1}, now)
	d.observe(&ackRange{read: tally{records: 1}, written: math.MinInt64}, now)
	require.InDelta(t, all.Seconds+2*longestDelay.Seconds(), d.get().Seconds, 1e-6)
}

// The time that a format takes from a line, which may be years old or of the wrong zone, is not when it was written.
func TestDelaysAreFromTheWriterToTheAcknowledgement(t *testing.T) {
	for way, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			c := newConveyor(t, way)
			started := time.Now()
			require.NoError(t, c.turn(t.Context()))
			longest := time.Since(started).Seconds()
			if w.frames {
				longest = longestDelay.Seconds() // the engine's time of each frame is long ago
			}
			all := c.shard.sink.delays.get()
			var records int64
			for _, n := range all.Buckets {
				records += n
			}
			require.Equal(t, int64(c.out.records), records)
			require.LessOrEqual(t, all.Seconds, float64(records)*longest+1)
			if w.frames {
				require.Equal(t, records, all.Buckets[len(DelayBounds)])
				require.InEpsilon(t, float64(records)*longest, all.Seconds, 1e-3)
			}
		})
	}
}

func TestWhatAChainKeepsBackWasWrittenLast(t *testing.T) {
	var r reader
	r.noteWritten([]record.Record{{Time: 3}, {Time: 5}})
	r.noteWritten([]record.Record{{Time: 7}})
	require.Equal(t, int64(3), r.takeWritten())
	require.Zero(t, r.takeWritten())
}
