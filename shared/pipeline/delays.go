// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// DelayBounds are the inclusive upper bounds of the buckets of Delays, in seconds. One more bucket holds longer delays.
var DelayBounds = [...]float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400}

// longestDelay bounds a delay, so that a record with a time of 1970 does not make the sum worthless.
const longestDelay = 30 * 24 * time.Hour

// Delays is a histogram of how long records took from their writer to the backend's acknowledgement, since the process
// started. A record was written at the time that the runtime gave it or, if there is none, as in a file, when it was read;
// a time that a format parsed from it does not count. All records of a turn count like the oldest of them, so a delay is
// too long rather than too short. Records that were parked are not counted.
type Delays struct {
	Buckets [len(DelayBounds) + 1]int64 `json:"buckets"` // each counts its own records alone
	Seconds float64                     `json:"seconds"` // the sum of all delays
}

// delays counts the Delays of an output without a lock, with a few additions for each turn of each stream.
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
	// A clock may go back, and a time in a file may be arbitrary.
	delay := min(max(0, now.Sub(time.Unix(0, r.written))), longestDelay)
	at := 0
	for at < len(DelayBounds) && delay.Seconds() > DelayBounds[at] {
		at++
	}
	d.buckets[at].Add(sent)
	d.add(delay.Seconds() * float64(sent))
}

// add adds to the sum. The few shards of an output contend for it once a turn.
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

// noteWritten notes when records that the cutter has just made were written, before the chain may change their times.
func (r *reader) noteWritten(records []record.Record) {
	if len(records) == 0 {
		return
	}
	if r.written == 0 {
		r.written = records[0].Time
	}
	r.lastWritten = records[len(records)-1].Time
}

// takeWritten returns when the oldest record that is booked now was written. A record that the chain keeps back is the newest.
func (r *reader) takeWritten() int64 {
	written := r.written
	r.written = 0
	if r.chain != nil && r.chain.Open() >= 0 {
		r.written = r.lastWritten
	}
	return written
}
