// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/record"
)

// inflightBatch is a batch and what its acknowledgement means to the streams it was read from. It is filled, sent and used
// again.
type inflightBatch struct {
	batch  *record.Batch
	ranges []ackRange
	size   int       // of what it holds, about as sent
	begun  time.Time // when the first span was added
	full   bool
}

// ackRange is what one turn of one feed put into a flight.
type ackRange struct {
	feed *Feed
	// pos is where the feed's checkpoint may stand once the flight, and all before it, is acknowledged.
	pos          checkpoint.Position
	records      int64
	bytes        int64 // of the stream
	newest       int64 // time of the last record, 0 without records
	refused      int64
	refusedBytes int64
	// What a gap at its end, of which there is one at most, has cost.
	gaps, droppedRecords, droppedBytes int64
	end                                bool // nothing follows
}

func newInflightBatch(size int) *inflightBatch { return &inflightBatch{batch: record.NewBatch(size)} }

func (f *inflightBatch) reset() {
	f.batch.Reset()
	clear(f.ranges)
	f.ranges, f.size, f.full = f.ranges[:0], 0, false
}

func (f *inflightBatch) add(s ackRange, size int, now time.Time) {
	if len(f.ranges) == 0 {
		f.begun = now
	}
	f.ranges = append(f.ranges, s)
	f.size += size
}

// refuse books a record that the backend will never take to the span it came from, and returns its feed.
func (f *inflightBatch) refuse(r *record.Record) *Feed {
	for i := range f.ranges {
		s := &f.ranges[i]
		if s.feed.route.Source == r.Source && s.refused < s.records {
			s.refused++
			s.refusedBytes = min(s.bytes, s.refusedBytes+int64(len(r.Line)+len(r.Fields)))
			return s.feed
		}
	}
	return f.ranges[0].feed // not reached: each record came from a span of its source
}

// acknowledge moves the feeds on.
func (f *inflightBatch) acknowledge() {
	for i := range f.ranges {
		f.ranges[i].feed.acknowledge(&f.ranges[i])
	}
}
