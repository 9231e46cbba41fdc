// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// ledger records what became of a feed's records. The fill loop and the send loop of its shard write it, others read it.
type ledger struct {
	mu      sync.Mutex
	acked   checkpoint.Position
	judged  format.Judged    // of the chain at acked; not stored
	slot    *checkpoint.Slot // where acked is written at once
	final   bool             // the last range of the stream was acknowledged
	counts  Counts
	carried Counts // see Status.Prior
	losses  checkpoint.Losses
	logged  bool  // a refused record was logged
	newest  int64 // time of the newest record that was acknowledged

	cursor     int64 // the reader's after the last turn, at first the checkpoint; it never decreases
	scannedTo  int64
	caughtUpAt int64 // when at most an unfinished record was last unacknowledged, in ns since 1970
	dropsTo    int64 // gaps that end at or below it have been counted

	inflight tally // of ranges that are not acknowledged
	reread   tally // what has been counted and will be read again

	waiting *waiting // nil while the feed does not wait
	parking *Waiting // why the last record was parked; nil if none is
	settled settledRecords
	aside   map[int64]struct{} // marks of the records that were set aside: see setAside
}

// waiting is a feed's wait at its checkpoint until its destination accepts records again.
type waiting struct {
	Waiting
	attempts int
	// tried holds since when records below an offset have been waiting. It tells how long a record has waited, to within a
	// factor of two, without storing a time for each. A record's own time can't tell: it may be arbitrary, or when it was reread.
	tried [2]struct {
		below int64
		since time.Time
	}
}

// note starts measuring how long records below end have been waiting. Once the latest measurement has run for d, it starts
// another one for the records that have come since.
func (w *waiting) note(end int64, d time.Duration, now time.Time) {
	for i := range w.tried {
		if t := &w.tried[i]; t.since.IsZero() {
			t.below, t.since = end, now
			return
		}
	}
	if now.Sub(w.tried[1].since) >= d {
		w.tried[0] = w.tried[1]
		w.tried[1].below, w.tried[1].since = end, now
	}
}

// longerThan reports whether the record at off has been waiting for at least d.
func (w *waiting) longerThan(d time.Duration, off int64, now time.Time) bool {
	for _, t := range w.tried {
		if !t.since.IsZero() && off < t.below && now.Sub(t.since) >= d {
			return true
		}
	}
	return false
}

// Waiting is why a stream waits at its checkpoint, or why records of it are parked. The reason comes from the backend and
// concerns this stream's destination alone.
type Waiting struct {
	Destination string
	Reason      string
	Since       time.Time
}

// settledRecords are records beyond a waiting feed's checkpoint that were accepted, refused or parked before it began to
// wait. They are not sent again when they are read again. There are usually none, because a destination that blocks one
// record blocks all. Their number is bounded; records over the bound are sent again, with the same identity.
type settledRecords map[settledKey]settledRecord

type settledKey struct {
	offset int64
	marker bool
}

type settledRecord struct {
	content uint64 // a hash: a group of lines may end elsewhere when it is read again
	counted bool   // as refused or parked; else it counts as sent once the feed is past it
}

// maxSettled bounds the settled records of all feeds together, which take some 20 MiB, and maxSettledOfFeed those of one.
const maxSettled, maxSettledOfFeed = 1 << 18, 1 << 16

// settledTotal is the number of settled records of all feeds.
var settledTotal atomic.Int64

var contentSeed = maphash.MakeSeed()

func contentOf(r *record.Record) uint64 {
	return maphash.Bytes(contentSeed, r.Line)*31 + maphash.Bytes(contentSeed, r.Fields)
}

// remember notes that r was settled. It returns false if there is no room.
func (s *settledRecords) remember(r *record.Record, counted bool) bool {
	if *s == nil {
		*s = settledRecords{}
	}
	key := settledKey{r.Offset, r.Marker}
	if _, known := (*s)[key]; known {
		return true
	}
	if len(*s) >= maxSettledOfFeed {
		return false
	}
	if settledTotal.Add(1) > maxSettled {
		settledTotal.Add(-1)
		return false
	}
	(*s)[key] = settledRecord{contentOf(r), counted}
	return true
}

// remove removes from records those that were settled, books them to of, and returns the others.
func (s settledRecords) remove(records []record.Record, of *ackRange) (left []record.Record) {
	left = records[:0]
	for i := range records {
		r := &records[i]
		was, ok := s[settledKey{r.Offset, r.Marker}]
		if !ok || was.content != contentOf(r) {
			left = append(left, *r)
			continue
		}
		if was.counted {
			of.booked++
			of.bookedBytes += sizeOf(r)
		}
	}
	clear(records[len(left):])
	return left
}

// prune forgets all settled records once all of them lie below the checkpoint.
func (s *settledRecords) prune(low int64) {
	for key := range *s {
		if key.offset >= low {
			return
		}
	}
	s.drop()
}

func (s *settledRecords) drop() {
	settledTotal.Add(-int64(len(*s)))
	*s = nil
}

// fresh returns the part of read that has not been counted yet. The caller holds l.mu.
func (l *ledger) fresh(read tally) tally {
	known := l.reread.least(read)
	l.reread.subtract(known)
	read.subtract(known)
	return read
}
