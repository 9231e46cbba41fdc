// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// DelayBounds are the upper bounds, in seconds and inclusive, of the buckets of Delays. One more bucket holds what is longer.
var DelayBounds = [...]float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400}

// longestDelay is what a longer one counts as: one record with a time of 1970 must not make the sum worthless.
const longestDelay = 30 * 24 * time.Hour

// Delays is how long records took from their writer to the backend's acknowledgement, since the process started. A
// record's time is the one that the runtime gave it, and when it was read where there is none, as in a file: never the one
// that a format parsed from it. All records of a turn count as much as the oldest of them, so a delay is rather too long
// than too short. Records that were parked are not counted.
type Delays struct {
	Buckets [len(DelayBounds) + 1]int64 `json:"buckets"` // each counts its own records alone
	Seconds float64                     `json:"seconds"` // the sum of all delays
}

// delays counts Delays of an output without a lock: a few additions for each turn of each stream.
type delays struct {
	buckets [len(DelayBounds) + 1]atomic.Int64
	seconds atomic.Uint64 // the sum, as the bits of a float64
}

// observe counts the records of an acknowledged range that were sent.
func (d *delays) observe(r *ackRange, now time.Time) {
	sent := r.read.records - r.refused - r.parked - r.booked
	if sent <= 0 || r.written == 0 {
		return
	}
	// A clock may go back, and a time in a file that somebody has written may be any.
	delay := min(max(0, now.Sub(time.Unix(0, r.written))), longestDelay)
	at := 0
	for at < len(DelayBounds) && delay.Seconds() > DelayBounds[at] {
		at++
	}
	d.buckets[at].Add(sent)
	d.add(delay.Seconds() * float64(sent))
}

// add adds to the sum. The shards of an output, a handful, meet here once a turn.
func (d *delays) add(seconds float64) {
	for {
		old := d.seconds.Load()
		if d.seconds.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+seconds)) {
			return
		}
	}
}

func (d *delays) get() (all Delays) {
	for i := range d.buckets {
		all.Buckets[i] = d.buckets[i].Load()
	}
	all.Seconds = math.Float64frombits(d.seconds.Load())
	return all
}

// noteWritten notes when the records were written that the cutter has just made: the chain may give them times of their own.
func (r *reader) noteWritten(records []record.Record) {
	if len(records) == 0 {
		return
	}
	if r.written == 0 {
		r.written = records[0].Time
	}
	r.lastWritten = records[len(records)-1].Time
}

// takeWritten returns when the oldest of the records was written that are booked now. What a chain keeps back was written last.
func (r *reader) takeWritten() int64 {
	written := r.written
	r.written = 0
	if r.chain != nil && r.chain.Open() >= 0 {
		r.written = r.lastWritten
	}
	return written
}
