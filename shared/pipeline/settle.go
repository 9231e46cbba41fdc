// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/park"
	"github.com/remora-logs/remora/shared/record"
)

// The pause before a waiting stream is tried again begins at firstPause and doubles up to RetryMax. A backend may ask
// for a longer one, but not for longer than longestAsked.
const (
	firstPause   = 500 * time.Millisecond
	longestAsked = 10 * time.Minute
	// newestPause is the shortest pause of a stream whose newest record is late, if new bytes follow it.
	newestPause = 2 * time.Second
)

// settle acts on the verdicts on a batch, one range after the other. A range is either acknowledged as a whole, after its
// refused records went to the dead letters and its blocked ones were parked, or its feed waits at its checkpoint, and this
// range and the feed's later ones are read again.
func (s *shard) settle(f *inflightBatch, now time.Time) {
	if f.verdicts == nil {
		f.acknowledge()
		for i := range f.ranges {
			s.sink.delays.observe(&f.ranges[i], now)
		}
		return
	}
	s.noteRejected(f, now)
	at := 0
	for i := range f.ranges {
		r := &f.ranges[i]
		records, verdicts := f.batch.Records[at:at+r.records], f.verdicts[at:at+r.records]
		at += r.records
		if r.void() {
			continue // its feed began to wait at a range before it
		}
		if waits := s.settleRange(f, r, records, verdicts, now); waits != nil {
			f.rememberAccepted(i, at-r.records)
			r.feed.wait(waits, &s.cfg, now)
			if waits.kind == blocked && s.nextGoesElsewhere(f, r.feed, waits.destination, now) {
				r.feed.wakeForNew(now)
			}
			continue
		}
		r.feed.acknowledge(r)
		s.sink.delays.observe(r, now)
	}
}

// noteRejected tells the output's state that no record of the batch was accepted, if that is so.
func (s *shard) noteRejected(f *inflightBatch, now time.Time) {
	for _, v := range f.verdicts {
		if v == 0 {
			return
		}
	}
	s.sink.state.rejected(f.reasons[len(f.reasons)-1].reason, now)
}

// settleRange decides on the records of a range. If the feed must wait for one of them, it returns the verdict on that one.
func (s *shard) settleRange(f *inflightBatch, r *ackRange, records []record.Record, verdicts []int32, now time.Time) (waits *verdict) {
	waits = s.waitsFor(f, r, records, verdicts, now)
	settled := make([]verdictKind, len(records)) // what became of each record: refused, blocked if it was parked, or 0
	for i := range records {
		if verdicts[i] == 0 {
			continue
		}
		v := &f.reasons[verdicts[i]-1]
		switch givesUp := v.kind != refused && r.feed.givesUp(&records[i], s.cfg.RetryGiveUp, now); {
		case givesUp && waits != nil:
			// It is settled now, and not tried again with the records that the feed waits for.
			s.refuse(r, &records[i], v.reason)
			r.feed.rememberRefused(&records[i])
		case givesUp:
			r.givenUp++
			s.refuse(r, &records[i], v.reason)
			settled[i] = refused
		case waits != nil:
			// The feed waits. The record is read and judged again.
		case v.kind == refused:
			s.refuse(r, &records[i], v.reason)
			settled[i] = refused
		default:
			err := s.park(r, &records[i], v, now)
			if err == nil {
				settled[i] = blocked
				continue
			}
			waits = &verdict{v.kind, v.destination, fmt.Sprintf("%s (and it can't be parked: %v)", v.reason, err), v.after}
			for n := range i { // dead letters and parked records remain so
				switch settled[n] {
				case refused:
					r.feed.rememberRefused(&records[n])
				case blocked:
					r.feed.rememberParked(&records[n])
				}
			}
		}
	}
	return waits
}

// waitsFor returns the verdict on a record of the range that the feed must wait for; nil if it can continue.
func (s *shard) waitsFor(f *inflightBatch, r *ackRange, records []record.Record, verdicts []int32, now time.Time) *verdict {
	for i := range records {
		if verdicts[i] == 0 {
			continue
		}
		v := &f.reasons[verdicts[i]-1]
		if v.kind == refused || r.feed.givesUp(&records[i], s.cfg.RetryGiveUp, now) {
			continue
		}
		if v.kind == busy || s.pipeline.parked == nil || s.newestGoesTo(f, r.feed, v.destination, now) {
			return v
		}
	}
	return nil
}

// newestGoesTo reports whether the newest record of the feed's stream goes to the destination. If so the feed waits, because
// what follows could not be sent either. The newest record is the last one in the batch or, if the stream has more, one that
// is written now.
func (s *shard) newestGoesTo(f *inflightBatch, feed *Feed, destination string, now time.Time) bool {
	a, ok := s.sink.output.(output.Addressed)
	last := f.lastOf(feed)
	if !ok || last == nil {
		return true
	}
	newest := *last
	if feed.hasMore() {
		newest.Time = now.UnixNano()
	}
	return string(a.AppendDestination(nil, &newest)) == destination
}

// nextGoesElsewhere reports whether a record that the feed's writer writes now has another destination. The newest record is
// late then, and later ones may be accepted.
func (s *shard) nextGoesElsewhere(f *inflightBatch, feed *Feed, destination string, now time.Time) bool {
	a, ok := s.sink.output.(output.Addressed)
	last := f.lastOf(feed)
	if !ok || last == nil {
		return false
	}
	next := *last
	next.Time = now.UnixNano()
	return string(a.AppendDestination(nil, &next)) != destination
}

// wakeForNew lets new bytes of the stream end its wait, after newestPause.
func (f *Feed) wakeForNew(now time.Time) {
	f.ledger.mu.Lock()
	f.earlyEnd.Store(max(f.ledger.cursor, f.ledger.scannedTo))
	f.ledger.mu.Unlock()
	f.early.Store(now.Add(newestPause).UnixNano())
}

// hasMore reports whether the stream has bytes that have not been read.
func (f *Feed) hasMore() bool {
	end := f.route.Stream.End()
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	return end > max(f.ledger.cursor, f.ledger.scannedTo)
}

// refuse books a record that the backend will never accept, or that is given up, and writes it to the dead letters.
func (s *shard) refuse(r *ackRange, of *record.Record, reason string) {
	r.refused++
	r.refusedBytes = min(r.read.bytes, r.refusedBytes+int64(len(of.Line)+len(of.Fields)))
	s.pipeline.bury(s.sink.name, of, reason)
	r.feed.noteRefused(reason)
}

// park stores a blocked record on disk. It books the record first: once in the store, it may be delivered, or evicted, at any
// time.
func (s *shard) park(r *ackRange, of *record.Record, v *verdict, now time.Time) error {
	e := park.Entry{Record: *of, Destination: v.destination, Reason: v.reason, Since: now}
	bytes := min(r.read.bytes-r.refusedBytes-r.parkedBytes, sizeOf(of))
	r.feed.countParked(1, bytes)
	s.pipeline.noteUnsynced(r.feed)
	if err := s.pipeline.parked.Append(s.sink.name, &e, now, s.pipeline.evicted); err != nil {
		r.feed.countParked(-1, -bytes)
		return err
	}
	r.parked++
	r.parkedBytes += bytes
	r.feed.noteParked(v, now)
	s.sink.wakeRetry()
	return nil
}

func (f *Feed) countParked(records, bytes int64) {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	f.ledger.counts.park(records, bytes)
}

// acknowledge moves the feed's position to the end of a range. The caller acknowledges a feed's ranges in order.
func (f *Feed) acknowledge(s *ackRange) {
	l := &f.ledger
	l.mu.Lock()
	l.acked, l.judged = s.to.pos, s.to.judged
	l.slot.Set(s.to.pos)
	l.final = l.final || s.end
	l.inflight.subtract(s.read)
	l.counts.SentRecords += s.read.records - s.refused - s.parked - s.booked
	l.counts.SentBytes += s.read.bytes - s.refusedBytes - s.parkedBytes - min(s.bookedBytes, s.read.bytes-s.refusedBytes-s.parkedBytes)
	l.counts.RefusedRecords += s.refused
	l.counts.RefusedBytes += s.refusedBytes
	if s.to.learned != "" {
		l.losses.Learned = s.to.learned
	}
	if s.limited != 0 {
		l.losses.Limited = s.limited
	}
	l.losses.Gaps += s.gaps
	l.losses.DroppedRecords += s.droppedRecords
	l.losses.DroppedBytes += s.droppedBytes
	l.losses.RefusedRecords += s.refused
	if s.newest > 0 {
		l.newest = s.newest
	}
	was := l.waiting
	if was != nil && s.records > 0 {
		f.hold.Store(0)
	}
	resumed := was != nil && s.records > s.givenUp
	if resumed {
		l.waiting = nil
	}
	if l.settled != nil {
		l.settled.prune(l.acked.Low)
	}
	l.mu.Unlock()
	if resumed {
		f.log().Info("destination accepts records again", "destination", was.Destination,
			"after", time.Since(was.Since).Round(time.Millisecond))
	}
	f.pipeline.touch(f)
}

// wait sends the feed back to its checkpoint, where it stays until its back-off has passed.
func (f *Feed) wait(v *verdict, cfg *Config, now time.Time) {
	l := &f.ledger
	l.mu.Lock()
	first := l.waiting == nil
	if first {
		l.waiting = &waiting{Waiting: Waiting{Since: now}}
	}
	w := l.waiting
	w.note(max(f.route.Stream.End(), l.cursor), cfg.RetryGiveUp, now)
	w.Destination, w.Reason = v.destination, v.reason
	pause := max(min(firstPause<<min(w.attempts, 20), cfg.RetryMax), min(v.after, longestAsked))
	w.attempts++
	l.reread.add(l.inflight)
	l.inflight = tally{}
	f.early.Store(0)
	f.hold.Store(now.Add(pause + rand.N(pause/4+1)).UnixNano())
	f.epoch.Add(1) // last: the reader, which may be in its turn, returns to the checkpoint when it sees the change
	l.mu.Unlock()
	if first {
		notice.DestinationBlocked.Log(f.log(), "destination", v.destination,
			"reason", v.reason)
	}
}

func (f *Feed) isWaiting() bool {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	return f.ledger.waiting != nil
}

// rememberAccepted notes which records of a feed need not be sent again after it has returned to its checkpoint: the accepted
// ones of the range at index first, whose records begin at index from, and of the feed's later ranges. The caller calls it
// before the feed returns, because the reader may read them at once.
func (f *inflightBatch) rememberAccepted(first, from int) {
	feed := f.ranges[first].feed
	feed.ledger.mu.Lock()
	defer feed.ledger.mu.Unlock()
	for i := range f.ranges[first:] {
		r := &f.ranges[first+i]
		for at := from; r.feed == feed && at < from+r.records; at++ {
			if f.verdicts[at] == 0 {
				feed.ledger.settled.remember(&f.batch.Records[at], false)
			}
		}
		from += r.records
	}
}

// rememberRefused notes and counts a refused record of a range that will be read again. If there is no room to remember it,
// it is judged again, and counted then.
func (f *Feed) rememberRefused(r *record.Record) {
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled.remember(r, true) {
		l.counts.RefusedRecords++
		l.counts.RefusedBytes += sizeOf(r)
		l.losses.RefusedRecords++
	}
}

// rememberParked notes a parked record, which has been counted, of a range that will be read again. If there is no room to
// remember it, it is parked twice and counts as read twice.
func (f *Feed) rememberParked(r *record.Record) {
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.settled.remember(r, true) {
		l.counts.ReadRecords++
		l.counts.ReadBytes += sizeOf(r)
	}
}

// givesUp reports whether a record that was not accepted has been tried for long enough.
func (f *Feed) givesUp(r *record.Record, after time.Duration, now time.Time) bool {
	if after <= 0 {
		return false
	}
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	return f.ledger.waiting != nil && f.ledger.waiting.longerThan(after, r.Offset, now)
}

// noteRefused notes why the backend refused a record, and logs the first refusal.
func (f *Feed) noteRefused(reason string) {
	l := &f.ledger
	l.mu.Lock()
	first := !l.logged
	l.logged, l.losses.Error, l.losses.Since = true, reason, time.Now()
	l.mu.Unlock()
	if first {
		notice.RecordRefused.Log(f.log(), "reason", reason)
	}
}

// noteParked notes why a record was parked, and logs the first.
func (f *Feed) noteParked(v *verdict, now time.Time) {
	l := &f.ledger
	l.mu.Lock()
	first := l.parking == nil
	if first {
		l.parking = &Waiting{Since: now}
	}
	l.parking.Destination, l.parking.Reason = v.destination, v.reason
	l.mu.Unlock()
	if first {
		notice.RecordParked.Log(f.log(), "destination", v.destination,
			"reason", v.reason)
	}
}

// entry returns the feed's checkpoint entry, without the mark. final means that the stream ends there.
func (l *ledger) entry() (e checkpoint.Entry, final bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return checkpoint.Entry{Position: l.acked, Losses: l.losses}, l.final
}
