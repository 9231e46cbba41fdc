// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// perRecord is about what a record costs on the wire beside its line, fields and tags: names, time, offset, identity.
const perRecord = 160

// A turn reads at first, and at least, firstRead bytes. What a turn's bytes become, as sent, is kept to about costPerTurn,
// so that empty lines, a hundred times larger when they are records, make no batch much larger than another.
const firstRead, costPerTurn = 16 << 10, 4 * quantum

// readAgain is the pause after a stream could not be read.
const readAgain = time.Second

// complainEvery bounds how often one feed says that bytes of its stream made no sense.
const complainEvery = 10 * time.Second

// Feed is a route under delivery. Its reading side belongs to one shard's fill loop; acknowledgements come from that
// shard's send loop; the mutex guards what they and others share.
type Feed struct {
	pipeline *Pipeline
	key      checkpoint.Key
	route    Route
	overhead int // bytes a record beside line and fields

	// Of the fill loop.
	cutter      cut.Cutter
	chain       *format.Chain
	cursor      int64     // where to read next
	passed      int64     // the cursor when the chain had last nothing pending
	ending      bool      // nothing follows what the chain has pending
	resumed     int64     // records complete at or before it were acknowledged in an earlier life
	scannedTo   int64     // a read up to here brought nothing whole: it is of no use before End is beyond
	readSize    int       // bytes to read at once
	readFull    bool      // there was more to be read than that
	tailTorn    bool      // what follows seen did not come, so that nothing whole can: it may be gone
	retryAt     time.Time // after an error
	failing     bool
	finished    bool // nothing more is to be read
	skipped     int64
	lastSkipLog time.Time // of skipped bytes
	lastTime    int64     // of the last record
	sameTime    uint32    // how many before it had the same

	unmarked bool // of commit: that no mark can be made is said

	detached atomic.Bool

	mu              sync.Mutex
	acked           checkpoint.Position
	final           bool // the span behind which nothing follows was acknowledged
	counts          Counts
	carried         Counts // see Status.Prior
	losses          checkpoint.Losses
	refused         bool  // that a record was, is said
	newest          int64 // time of the newest record that was acknowledged
	publishedCursor int64 // cursor and seen, as of the last turn
	publishedScan   int64
	caughtUpAt      int64 // when last nothing but an unfinished record was behind the acknowledged position
}

func newFeed(p *Pipeline, key checkpoint.Key, r Route, e checkpoint.Entry) (*Feed, error) {
	cutter, chain, err := r.Open()
	if err != nil {
		return nil, err
	}
	pos := e.Position
	overhead := perRecord
	for _, t := range r.Source.Tags {
		overhead += len(t.Key) + len(t.Value) + 6
	}
	return &Feed{pipeline: p, key: key, route: r, cutter: cutter, chain: chain, overhead: overhead, readSize: firstRead,
		cursor: pos.Low, passed: pos.Done, resumed: pos.Done, scannedTo: pos.Low, acked: pos, losses: e.Losses, newest: time.Now().UnixNano()}, nil
}

// ready reports whether a turn may bring something. It is asked of every feed, many times a second.
func (f *Feed) ready(now time.Time) bool {
	if f.finished {
		return false
	}
	if !f.retryAt.IsZero() && now.Before(f.retryAt) {
		return false
	}
	if end := f.route.Stream.End(); end > f.cursor && end > f.scannedTo {
		return true
	}
	return f.route.Stream.Ended() || f.open() >= 0 || f.detached.Load()
}

// open is the offset of the oldest unfinished record, or -1.
func (f *Feed) open() int64 {
	at := f.cutter.Open()
	if f.chain != nil {
		if held := f.chain.Open(); held >= 0 && (at < 0 || held < at) {
			at = held
		}
	}
	return at
}

// read takes the feed's turn: it adds to the flight what the stream has, up to a quantum, and returns how many bytes of
// the stream that consumed.
func (f *Feed) read(fl *inflightBatch, now time.Time) (consumed int64) {
	f.readFull = false
	if f.detached.Load() {
		f.finished = true
		fl.add(ackRange{feed: f, pos: f.position(), end: true}, 0, now)
		if f.chain != nil {
			f.chain.Discard()
		}
		return 0
	}
	if f.pending() {
		f.drain(fl, now)
		return 0
	}
	free := fl.batch.Free()
	want := min(f.readSize, len(free))
	if want == 0 {
		fl.full = true
		return 0
	}
	if f.tailTorn {
		if gap := f.gapBehind(); gap != nil {
			return f.skip(fl, gap, now)
		}
	}
	if f.cursor < f.resumed {
		want = int(min(int64(want), f.resumed-f.cursor))
	}
	end := f.route.Stream.End()
	n, err := f.route.Stream.ReadAt(free[:want], f.cursor)
	if gap := asGap(err); gap != nil {
		return f.skip(fl, gap, now)
	}
	last := errors.Is(err, io.EOF)
	if err != nil && !last {
		f.noteError(err, now)
		return 0
	}
	f.readFull = n == want
	consumed = f.cut(fl, free[:n], now, last)
	f.noteError(f.cutter.Err(), now)
	f.tailTorn = consumed == 0 && n > 0 && !last && !f.readFull && f.scannedTo < end
	return consumed
}

// cut makes records of data, which was read at the cursor into the flight's free memory.
func (f *Feed) cut(fl *inflightBatch, data []byte, now time.Time, last bool) int64 {
	b, from, mark := fl.batch, len(fl.batch.Records), fl.batch.Savepoint()
	ns := now.UnixNano()
	if len(data) > 0 && f.cursor+int64(len(data)) <= f.resumed {
		last = false // what is unfinished at the resumed position has to become a record after it
	}
	b.Keep(len(data))
	n := f.cutter.Cut(b, data, f.cursor, ns, last)
	failed := f.cutter.Err() != nil
	if n == 0 && f.readFull && !last && !failed {
		b.Rollback(mark)
		f.grow(fl, int64(len(data)))
		return 0
	}
	replay := f.cursor+int64(n) <= f.resumed && n > 0
	f.scannedTo = f.cursor + int64(len(data))
	f.cursor += int64(n)
	if !replay && !failed {
		f.cutter.Expire(b, ns)
		failed = f.cutter.Err() != nil
	}
	if failed {
		f.readFull, last = false, false // there is more to be had of the same bytes, after a pause
	}
	if c := f.chain; c != nil {
		c.Apply(b, from, ns, last)
		for replay && c.Pending() {
			b.Rollback(mark)
			c.Apply(b, from, ns, last)
		}
		if !replay && !failed {
			c.Expire(b, ns)
		}
		f.ending, last = last && c.Pending(), last && !c.Pending()
	}
	if replay { // Nothing was kept, for a flight that holds nothing else would never be sent.
		f.readSize = quantum
		b.Rollback(mark)
		return int64(n)
	}
	b.Keep(n - len(data))
	f.noteSkipped(now)
	if n > 0 || last || len(b.Records) > from {
		f.book(fl, from, int64(n), b.Added(mark), last, now)
	}
	f.note()
	f.finished = last
	return int64(n)
}

// pending reports whether the chain has records of an earlier read for which there was no room or no time.
func (f *Feed) pending() bool { return f.chain != nil && f.chain.Pending() }

// drain lets the chain go on with what is pending. Nothing is read meanwhile.
func (f *Feed) drain(fl *inflightBatch, now time.Time) {
	b, from, mark := fl.batch, len(fl.batch.Records), fl.batch.Savepoint()
	f.chain.Apply(b, from, now.UnixNano(), false)
	last := f.ending && !f.pending()
	if len(b.Records) > from || !f.pending() {
		f.book(fl, from, 0, b.Added(mark), last, now)
	}
	f.readFull, f.finished = !last, last
}

// note lets others know how far the stream was read.
func (f *Feed) note() {
	f.mu.Lock()
	f.publishedCursor, f.publishedScan = f.cursor, f.scannedTo
	f.mu.Unlock()
}

// updateLag notes if the feed is up to date. It is asked once a second, so that the lag of a stream that was quiet for long is
// not that long when it speaks again.
func (f *Feed) updateLag(now time.Time) {
	end := f.route.Stream.End()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked.Done >= f.publishedCursor && end <= max(f.acked.Done, f.publishedScan) {
		f.caughtUpAt = now.UnixNano()
	}
}

// grow makes the next read larger, because a record did not fit into one of got bytes. What is left of the flight may be
// too small for that: the next flight has all its memory. If that is too little as well, it is made to have more, up to
// the bound that the cutter has for a record.
func (f *Feed) grow(fl *inflightBatch, got int64) {
	if f.cursor+got == f.resumed {
		// The cutter sees other records than in its earlier life, under other settings for instance. Better to send
		// something again than to wait for the end of what will not end there.
		f.resumed = f.cursor
		return
	}
	if free := len(fl.batch.Free()); f.readSize >= free {
		if len(fl.ranges) > 0 {
			fl.full = true
			return
		}
		fl.batch.Grow()
	}
	f.readSize *= 2
}

// book adds to the flight what was read: records from index from, made of n bytes of the stream.
func (f *Feed) book(fl *inflightBatch, from int, n int64, held int, last bool, now time.Time) {
	records := fl.batch.Records[from:]
	f.numberSameTimes(records)
	s := ackRange{feed: f, pos: f.position(), records: int64(len(records)), bytes: n, end: last}
	if len(records) > 0 {
		s.newest = records[len(records)-1].Time
	}
	cost := n + int64(held+len(records)*f.overhead)
	if n > 0 {
		// What a long record needed, the next one mostly needs as well.
		f.readSize = int(min(max(costPerTurn*n/cost, firstRead), int64(max(f.readSize/2, quantum))))
	}
	fl.add(s, int(cost), now)
	f.mu.Lock()
	f.counts.ReadRecords += s.records
	f.counts.ReadBytes += n
	if c := f.chain; c != nil {
		done := c.Counts()
		f.counts.Filtered, f.counts.ParseErrors = done.Filtered, done.ParseErrors
	}
	f.mu.Unlock()
}

// numberSameTimes sets SameTime of records, which follow those that it was called with before.
func (f *Feed) numberSameTimes(records []record.Record) {
	for i := range records {
		if r := &records[i]; r.Time == f.lastTime {
			f.sameTime++
			r.SameTime = f.sameTime
		} else {
			f.lastTime, f.sameTime, r.SameTime = r.Time, 0, 0
		}
	}
}

// position is how far the records that left the chain reach. While some are pending, what left it since the last read may
// be sent again after a restart: which records of a read are complete is known for all of them only.
func (f *Feed) position() checkpoint.Position {
	if !f.pending() {
		f.passed = f.cursor
	}
	pos := checkpoint.Position{Low: f.cursor, Done: f.passed}
	if at := f.open(); at >= 0 {
		pos.Low = at
	}
	pos.Done = max(pos.Low, pos.Done)
	return pos
}

// asGap is the gap that err is, or nil. It costs an allocation only where there is an error.
func asGap(err error) *stream.Gap {
	if err == nil {
		return nil
	}
	var gap *stream.Gap
	errors.As(err, &gap)
	return gap
}

// noteError says once that a stream can't be read, and once that it can again.
func (f *Feed) noteError(err error, now time.Time) {
	f.retryAt = time.Time{}
	if err == nil {
		if f.failing {
			f.failing = false
			f.log().Info("stream can be read again")
		}
		return
	}
	f.retryAt = now.Add(readAgain)
	if !f.failing {
		f.failing = true
		f.log().Warn("stream can't be read; trying again", "offset", f.cursor, "error", err)
	}
	f.mu.Lock()
	f.losses.Error, f.losses.Since = err.Error(), now
	f.mu.Unlock()
}

// noteSkipped counts bytes that no record could be made of, and says so now and then.
func (f *Feed) noteSkipped(now time.Time) {
	bytes, places := f.cutter.Skipped()
	if bytes == f.skipped {
		return
	}
	f.mu.Lock()
	f.counts.SkippedBytes = bytes
	f.mu.Unlock()
	if f.lastSkipLog.IsZero() || now.Sub(f.lastSkipLog) >= complainEvery {
		f.lastSkipLog, f.skipped = now, bytes
		f.log().Warn("bytes that make no sense were skipped", "bytes", bytes, "places", places, "before", f.cursor)
	}
}

func (f *Feed) log() *slog.Logger {
	return f.pipeline.log.With("stream", f.key.Stream, "declaration", f.key.Declaration, "output", f.key.Output)
}

// Detach stops reading. The route's Done is called once all that was read is acknowledged; its checkpoint is kept.
func (f *Feed) Detach() { f.detached.Store(true) }

// acknowledge moves the feed's position, in the order of its ranges.
func (f *Feed) acknowledge(s *ackRange) {
	f.mu.Lock()
	f.acked = s.pos
	f.final = f.final || s.end
	f.counts.SentRecords += s.records - s.refused
	f.counts.SentBytes += s.bytes - s.refusedBytes
	f.counts.RefusedRecords += s.refused
	f.counts.RefusedBytes += s.refusedBytes
	f.losses.Gaps += s.gaps
	f.losses.DroppedRecords += s.droppedRecords
	f.losses.DroppedBytes += s.droppedBytes
	f.losses.RefusedRecords += s.refused
	if s.newest > 0 {
		f.newest = s.newest
	}
	f.mu.Unlock()
	f.pipeline.touch(f)
}

// settled is what is to be stored of a feed at some moment, without the mark; final says that nothing follows.
type settled struct {
	checkpoint.Entry
	final bool
}

func (f *Feed) settled() settled {
	f.mu.Lock()
	defer f.mu.Unlock()
	return settled{checkpoint.Entry{Position: f.acked, Losses: f.losses}, f.final}
}

// noteRefused remembers why the backend refused a record, and says so the first time.
func (f *Feed) noteRefused(reason string) {
	f.mu.Lock()
	first := !f.refused
	f.refused, f.losses.Error, f.losses.Since = true, reason, time.Now()
	f.mu.Unlock()
	if first {
		f.log().Warn("backend refused a record; it is counted, and kept where dead letters are", "reason", reason)
	}
}
