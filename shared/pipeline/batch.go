// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// inflightBatch is a batch, what its acknowledgement means for the streams that it was read from, and the backend's
// verdicts on its records. It is filled, sent and reused.
type inflightBatch struct {
	batch *record.Batch
	// If several outputs send the batch, lease owns its memory, and common holds what one output has encoded for all.
	// shared holds the records if another shard filled the batch, and offers are those that other shards may not have answered.
	lease  *lease
	common *record.Common
	shared record.Batch
	offers []*offer
	// ranges cover batch.Records in order: each is followed by the next.
	ranges []ackRange
	size   int       // estimate of the size as sent, in bytes
	begun  time.Time // when the first range was added
	full   bool

	patience time.Duration // how much longer this round may wait for streams

	// verdicts[i] is 0 if batch.Records[i] was accepted, else the index of the reason plus 1. It is nil while every record
	// was accepted.
	verdicts []int32
	reasons  []verdict
}

// verdict is why a record was not accepted.
type verdict struct {
	kind        verdictKind
	destination string
	reason      string
	after       time.Duration // the pause that the backend asked for
}

type verdictKind uint8

const (
	refused verdictKind = iota + 1 // it never will be accepted
	blocked                        // its destination does not accept it now
	busy                           // the backend was too busy, for longer than a batch may wait
)

// tally counts records and bytes of a stream, and what the chain and the cutter counted while reading them.
type tally struct{ records, bytes, filtered, parseErrors, skipped int64 }

func (t *tally) add(o tally) {
	t.records += o.records
	t.bytes += o.bytes
	t.filtered += o.filtered
	t.parseErrors += o.parseErrors
	t.skipped += o.skipped
}

func (t *tally) subtract(o tally) {
	t.add(tally{-o.records, -o.bytes, -o.filtered, -o.parseErrors, -o.skipped})
}

// least returns the minimum of t and o in each field.
func (t tally) least(o tally) tally {
	return tally{min(t.records, o.records), min(t.bytes, o.bytes), min(t.filtered, o.filtered),
		min(t.parseErrors, o.parseErrors), min(t.skipped, o.skipped)}
}

// ackRange is what one turn of one feed added to a batch.
type ackRange struct {
	feed *Feed
	// epoch is the feed's epoch at the time of the turn. The range is void if the feed has returned to its checkpoint since.
	epoch uint32
	from  place // where the turn began
	// to is where it ended. The feed's checkpoint may move to its position once this batch and all before it are acknowledged.
	to      place
	common  bool  // other feeds of the stream and declaration would have read the same
	cost    int64 // estimate of what it added to the batch's size as sent
	limited int64 // see checkpoint.Losses; 0 for nothing new
	records int   // in the batch
	givenUp int   // how many of these were given up
	read    tally // includes records that were settled before and are not in the batch
	newest  int64 // time of the last record, 0 without records
	written int64 // when the oldest of its records was written, in ns since 1970; see Delays
	refused, refusedBytes,
	parked, parkedBytes,
	booked, bookedBytes int64 // counted as refused or parked before the feed returned to its checkpoint
	// What was lost in the gap at its end, if there is one.
	gaps, droppedRecords, droppedBytes int64
	end                                bool // nothing follows
}

// void reports whether the range will be read again. A void range must be neither sent nor acknowledged.
func (r *ackRange) void() bool { return r.epoch != r.feed.epoch.Load() }

func newInflightBatch(size int) *inflightBatch { return &inflightBatch{batch: record.NewBatch(size)} }

// reset empties the batch. If it is still offered to other shards, it keeps its records until settleOffers.
func (f *inflightBatch) reset() {
	for i := range f.ranges {
		f.ranges[i].feed.inFlight.Add(-1)
	}
	clear(f.ranges)
	clear(f.reasons)
	f.ranges, f.size, f.full = f.ranges[:0], 0, false
	f.verdicts, f.reasons = nil, f.reasons[:0]
	if len(f.offers) == 0 {
		f.regain()
	}
}

// regain ends the sharing of the batch's memory and empties the memory that the batch has then.
func (f *inflightBatch) regain() {
	if f.lease != nil {
		f.shared.Reset()
		f.leaveCommon()
		f.batch, f.lease = f.lease.leave(), nil
	}
	f.batch.Reset()
}

// releaseMemory returns the memory of an empty batch to the system.
func (f *inflightBatch) releaseMemory() {
	f.batch.ReleaseMemory()
	f.shared = record.Batch{}
}

func (f *inflightBatch) add(r ackRange, size int, now time.Time) {
	if len(f.ranges) == 0 {
		f.begun = now
	}
	r.feed.inFlight.Add(1)
	f.ranges = append(f.ranges, r)
	f.size += size
}

// removeVoid removes the ranges that are void, and their records.
func (f *inflightBatch) removeVoid() {
	void := false
	for i := range f.ranges {
		void = void || f.ranges[i].void()
	}
	if !void {
		return
	}
	f.keepForItself()
	ranges, records, from := f.ranges[:0], f.batch.Records[:0], 0
	for _, r := range f.ranges {
		of := f.batch.Records[from : from+r.records]
		from += r.records
		if r.void() {
			r.feed.inFlight.Add(-1)
			continue
		}
		ranges, records = append(ranges, r), append(records, of...)
	}
	clear(f.ranges[len(ranges):])
	clear(f.batch.Records[len(records):])
	f.ranges, f.batch.Records = ranges, records
}

// reject notes why the record at place was not accepted.
func (f *inflightBatch) reject(place int, v verdict) {
	if f.verdicts == nil {
		f.verdicts = make([]int32, len(f.batch.Records))
	}
	if n := len(f.reasons); n == 0 || f.reasons[n-1] != v {
		f.reasons = append(f.reasons, v)
	}
	f.verdicts[place] = int32(len(f.reasons))
}

// lastOf returns the last record that the feed has in the batch.
func (f *inflightBatch) lastOf(feed *Feed) *record.Record {
	at := len(f.batch.Records)
	for i := len(f.ranges) - 1; i >= 0; i-- {
		r := &f.ranges[i]
		if r.feed == feed && r.records > 0 {
			return &f.batch.Records[at-1]
		}
		at -= r.records
	}
	return nil
}

// acknowledge acknowledges all ranges: the backend has accepted every record.
func (f *inflightBatch) acknowledge() {
	for i := range f.ranges {
		f.ranges[i].feed.acknowledge(&f.ranges[i])
	}
}
