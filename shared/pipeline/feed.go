// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// perRecord is an estimate of what a record costs on the wire besides its line, fields and tags: names, time, offset, identity.
const perRecord = 160

// A feed's first turn reads firstRead bytes, or fewer if each record has much metadata, but at least leastRead. Later reads
// are sized so that a turn adds about costPerTurn bytes to the request: an empty line can grow a thousandfold when it
// becomes a record with many tags, and batches should still be about equally large.
const firstRead, leastRead, costPerTurn = 16 << 10, 1 << 10, 4 * quantum

// readAgain is the pause after a stream could not be read.
const readAgain = time.Second

// complainEvery bounds how often one feed logs that bytes of its stream were skipped.
const complainEvery = 10 * time.Second

// forever is a hold that lasts until the feed's next verdict.
const forever = math.MaxInt64

// Feed is a route that is being delivered. One shard reads its stream (reader) and acknowledges its records (ledger).
type Feed struct {
	pipeline  *Pipeline
	key       checkpoint.Key
	route     Route
	overhead  int // bytes that each record costs besides its line and fields
	firstRead int
	// maxInFlight bounds the bytes of the stream that are read and not acknowledged; 0 for no bound but the batches' size.
	maxInFlight int64

	shard     *shard
	tee       tee                  // the feeds of the same stream and declaration to other outputs
	older     atomic.Pointer[Feed] // the one before it in its series
	following following            // of the shard's fill loop
	reader    reader
	ledger    ledger
	// verdicts are those of the feed's chains. They belong to the shard's fill loop.
	verdicts format.Verdicts

	// epoch counts the returns to the checkpoint that the send loop has ordered. The reader follows it.
	epoch atomic.Uint32
	// hold is the time until which the feed is not read, in ns since 1970; 0 for none, or forever.
	hold atomic.Int64
	// early is the time from which bytes of the stream at or above earlyEnd end the hold, in ns since 1970; 0 for never.
	early, earlyEnd atomic.Int64
	// share is the CPU time of the feed's container. deferred is since when the feed has been served after lighter ones
	// without reaching the end of its stream, in ns since 1970, or 0.
	share    *share
	deferred atomic.Int64
	cpu      atomic.Int64 // of the chains, in ns
	inFlight atomic.Int32 // number of its ranges in batches
	slow     bool         // a turn took slowRecord; of the shard's fill loop
	detached atomic.Bool

	markFailed bool // commit has logged that no mark can be made
}

func newFeed(p *Pipeline, key checkpoint.Key, r Route, e checkpoint.Entry) (*Feed, error) {
	overhead := perRecord
	for _, t := range r.Source.Tags {
		overhead += len(t.Key) + len(t.Value) + 6
	}
	f := &Feed{pipeline: p, key: key, route: r, overhead: overhead, firstRead: min(firstRead, max(leastRead, 8*costPerTurn/overhead))}
	f.verdicts.Since(e.Losses.Limited)
	if err := f.reader.begin(f, e.Position, e.Losses.Learned, format.Judged{}, 0); err != nil {
		return nil, err
	}
	f.ledger.acked, f.ledger.losses, f.ledger.newest = e.Position, e.Losses, time.Now().UnixNano()
	f.ledger.cursor, f.ledger.scannedTo = e.Low, e.Low
	f.showPlace()
	f.tee.begins.Store(e.Done)
	if s, ok := r.Stream.(bounded); ok {
		f.maxInFlight = s.MaxInFlight()
	}
	return f, nil
}

// ready reports whether a turn may yield something. It is called for every feed, many times a second.
func (f *Feed) ready(now time.Time) bool {
	if f.held(now) {
		return false
	}
	if f.epoch.Load() != f.reader.epoch {
		return true
	}
	if f.reader.finished {
		return false
	}
	if !f.reader.retryAt.IsZero() && now.Before(f.reader.retryAt) {
		return false
	}
	if end := f.route.Stream.End(); end > f.reader.cursor && end > f.reader.scannedTo {
		return f.detached.Load() || !f.awaits(now)
	}
	f.verdicts.CaughtUp(now.UnixNano())
	return f.route.Stream.Ended() || f.detached.Load() || f.reader.open() >= 0 && !f.awaits(now)
}

// held reports whether the feed must not be read now.
func (f *Feed) held(now time.Time) bool {
	hold := f.hold.Load()
	return hold != 0 && now.UnixNano() < hold && !f.detached.Load() && !f.endsEarly(now)
}

// endsEarly reports whether new bytes of the stream end the hold.
func (f *Feed) endsEarly(now time.Time) bool {
	early := f.early.Load()
	return early != 0 && now.UnixNano() >= early && f.route.Stream.End() > f.earlyEnd.Load()
}

// read performs the feed's turn: it reads once from the stream, adds the records to the batch, and returns the number of
// bytes of the stream that they consumed.
func (f *Feed) read(fl *inflightBatch, now time.Time) (consumed int64) {
	r := &f.reader
	r.full = false
	if e := f.epoch.Load(); e != r.epoch && (f.held(now) || !f.restart(e, now)) {
		return 0 // the hold may have begun since ready
	}
	if f.detached.Load() {
		f.leave(fl, now)
		return 0
	}
	if r.follows && !f.readAlone(now) {
		return 0
	}
	if r.pending() {
		f.drain(fl, now)
		return 0
	}
	free := fl.batch.Free()
	want := min(r.size, len(free))
	meeting := f.meeting(r.cursor, r.cursor+int64(want))
	want = int(meeting - r.cursor)
	if want == 0 {
		fl.full = true
		return 0
	}
	behind := false // acknowledgements are behind: what follows must not be read yet
	if f.maxInFlight > 0 {
		var room int
		if room, behind = f.room(); room == 0 {
			return 0
		}
		want = min(want, room)
	}
	if r.tailTorn {
		if gap := f.gapBehind(); gap != nil {
			return f.skip(fl, gap, now)
		}
	}
	if r.cursor < r.resumed {
		want = int(min(int64(want), r.resumed-r.cursor))
	}
	end := f.route.Stream.End()
	n, err := f.readAt(fl, free[:want])
	if gap := asGap(err); gap != nil {
		return f.skip(fl, gap, now)
	}
	last := errors.Is(err, io.EOF)
	if err != nil && !last {
		f.noteError(err, now)
		return 0
	}
	r.full = n == want && !behind
	limited := n == want && r.cursor+int64(n) == meeting
	consumed = f.cut(fl, free[:n], now, last)
	if limited && r.cursor != meeting {
		r.missed = meeting
	}
	f.noteError(r.cutter.Err(), now)
	r.tailTorn = consumed == 0 && n > 0 && !last && !r.full && r.scannedTo < end
	return consumed
}

// readAt reads at the cursor.
func (f *Feed) readAt(fl *inflightBatch, p []byte) (int, error) {
	if s, ok := f.route.Stream.(patient); ok {
		return s.ReadAtWithin(p, f.reader.cursor, &fl.patience)
	}
	return f.route.Stream.ReadAt(p, f.reader.cursor)
}

// patient is a stream whose ReadAt may have to wait, such as for a remote file system. ReadAtWithin waits for at most
// *patience and subtracts from it the time that it waited.
type patient interface {
	ReadAtWithin(p []byte, off int64, patience *time.Duration) (int, error)
}

// roundPatience bounds how long a shard waits for all its patient streams together in a round, so that the others have more
// than twenty turns a second.
const roundPatience = 15 * time.Millisecond

// leave ends a detached feed after what it has read.
func (f *Feed) leave(fl *inflightBatch, now time.Time) {
	f.reader.finished = true
	from := f.reader.at
	fl.add(ackRange{feed: f, epoch: f.reader.epoch, from: from, to: f.reader.place(), end: true}, 0, now)
	f.reader.discard()
}

// restart returns the reader to the checkpoint.
func (f *Feed) restart(epoch uint32, now time.Time) bool {
	f.ledger.mu.Lock()
	pos, learned, judged := f.ledger.acked, f.ledger.losses.Learned, f.ledger.judged
	f.ledger.mu.Unlock()
	if err := f.reader.begin(f, pos, learned, judged, epoch); err != nil {
		f.noteError(err, now)
		f.hold.Store(now.Add(readAgain).UnixNano())
		return false
	}
	f.showPlace()
	f.tee.begins.Store(pos.Done)
	f.watch()
	if s, ok := f.route.Stream.(rewinder); ok {
		s.Rewind(pos.Low)
	}
	return true
}

// room returns how many bytes a bounded stream may read now, and whether something is in flight. A record that exceeds the
// bound is read when nothing is in flight.
func (f *Feed) room() (n int, inFlight bool) {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	ahead := f.reader.cursor - f.ledger.acked.Done
	if ahead <= 0 {
		return int(max(f.maxInFlight, f.reader.least)), false
	}
	if n = int(f.maxInFlight - ahead); n < int(f.maxInFlight/4) {
		n = 0
	}
	return n, true
}

// bounded is a stream that limits how far it may be read ahead of its checkpoint.
type bounded interface{ MaxInFlight() int64 }

// rewinder is a stream that is told when its reader returns to off: the bytes at or above off are no longer in flight.
type rewinder interface{ Rewind(off int64) }

// cut makes records of data, which was read at the cursor into the batch's free memory, and returns the number of bytes
// that they consumed.
func (f *Feed) cut(fl *inflightBatch, data []byte, now time.Time, last bool) int64 {
	r := &f.reader
	b, from, mark := fl.batch, len(fl.batch.Records), fl.batch.Savepoint()
	ns := now.UnixNano()
	if len(data) > 0 && r.cursor+int64(len(data)) <= r.resumed {
		last = false // a record that is unfinished at the resumed position must be completed after it
	}
	b.Keep(len(data))
	n := r.cutter.Cut(b, data, r.cursor, ns, last)
	failed := r.cutter.Err() != nil
	if n == 0 && r.full && !last && !failed {
		b.Rollback(mark)
		f.grow(fl, int64(len(data)))
		return 0
	}
	replay := r.cursor+int64(n) <= r.resumed && n > 0
	r.scannedTo = r.cursor + int64(len(data))
	r.cursor += int64(n)
	if !replay && !failed {
		r.cutter.Expire(b, ns)
		failed = r.cutter.Err() != nil
	}
	if failed {
		r.full, last = false, false // the same bytes are cut again after a pause
	}
	r.noteWritten(b.Records[from:])
	if c := r.chain; c != nil {
		c.Replay(replay)
		f.apply(b, from, ns, last)
		for replay && c.Pending() {
			b.Rollback(mark)
			f.apply(b, from, ns, last)
		}
		if !replay && !failed {
			f.expire(b, ns)
		}
		r.ending, last = last && c.Pending(), last && !c.Pending()
	}
	if replay { // keep nothing: a batch that holds nothing else would never be sent
		r.size, r.written = quantum, 0
		r.count()
		b.Rollback(mark)
		return int64(n)
	}
	b.Keep(n - len(data))
	f.noteSkipped(now)
	if n > 0 || last || len(b.Records) > from {
		f.book(fl, from, int64(n), b.Added(mark), last, now)
	}
	f.publish()
	r.finished = last
	return int64(n)
}

// drain lets the chain continue with its pending records. It reads nothing.
func (f *Feed) drain(fl *inflightBatch, now time.Time) {
	r := &f.reader
	b, from, mark := fl.batch, len(fl.batch.Records), fl.batch.Savepoint()
	f.apply(b, from, now.UnixNano(), false)
	last := r.ending && !r.pending()
	if len(b.Records) > from || !r.pending() {
		f.book(fl, from, 0, b.Added(mark), last, now)
	}
	r.full, r.finished = !last, last
}

// publish copies to the ledger how far the stream has been read.
func (f *Feed) publish() {
	l := &f.ledger
	l.mu.Lock()
	l.cursor, l.scannedTo = max(l.cursor, f.reader.cursor), f.reader.scannedTo
	l.mu.Unlock()
}

// updateLag notes that the feed is up to date, if it is. It is called once a second, so that a stream that was quiet for an
// hour does not lag by an hour when the next line comes.
func (f *Feed) updateLag(now time.Time) {
	end := f.route.Stream.End()
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked.Done >= l.cursor && end <= max(l.acked.Done, l.scannedTo) {
		l.caughtUpAt = now.UnixNano()
	}
}

// grow makes the next read larger, because a record did not fit into one of got bytes. If the rest of the batch is too small
// for it, the next batch has all its memory free. If even an empty batch is too small, the batch grows; the cutter's bound
// for a record bounds that.
func (f *Feed) grow(fl *inflightBatch, got int64) {
	r := &f.reader
	if r.cursor+got == r.resumed {
		// The cutter finds other records than in an earlier process, because of other settings for instance. Sending something
		// again is better than waiting for the end of a record that does not end there.
		r.resumed, r.common = r.cursor, false
		return
	}
	if free := len(fl.batch.Free()); r.size >= free {
		if len(fl.ranges) > 0 {
			fl.full = true
			return
		}
		fl.batch.Grow()
	}
	r.size, r.least = 2*r.size, 2*got
}

// book adds a range to the batch: the records from index from on, made of n bytes of the stream and held bytes of the
// batch's other memory.
func (f *Feed) book(fl *inflightBatch, from int, n int64, held int, last bool, now time.Time) {
	r, l := &f.reader, &f.ledger
	r.numberSameTimes(fl.batch.Records[from:])
	s := ackRange{feed: f, epoch: r.epoch, from: r.at, common: r.common && r.suspects == nil, limited: f.verdicts.Last(),
		end: last, read: r.count()}
	s.to = r.place()
	r.common = r.comparable && !r.pending()
	if size := len(fl.batch.Records) - from; size > 0 {
		s.newest = fl.batch.Records[len(fl.batch.Records)-1].Time
		s.read.records = int64(size)
	}
	s.read.bytes = n
	if r.suspects != nil {
		s.read.records += r.suspects.aside.records
		s.refused, s.refusedBytes = r.suspects.aside.records, min(n, r.suspects.aside.bytes)
		r.suspects.aside = tally{}
	}
	l.mu.Lock()
	f.verdicts.Forget(l.judged.Limited)
	if l.waiting == nil && r.scannedTo >= f.route.Stream.End() {
		f.verdicts.CaughtUp(now.UnixNano())
	}
	if l.settled != nil {
		s.common = false
		fl.batch.Records = fl.batch.Records[:from+len(l.settled.remove(fl.batch.Records[from:], &s))]
	}
	if s.records = len(fl.batch.Records) - from; s.records > 0 {
		s.written = r.takeWritten()
	}
	if s.epoch == f.epoch.Load() { // else it is void, and read again
		fresh := l.fresh(s.read)
		l.inflight.add(s.read)
		l.counts.read(fresh)
		if l.waiting != nil && s.records > 0 {
			f.early.Store(0)
			f.hold.Store(forever) // one turn finds out whether the destination accepts records again
		}
	}
	l.mu.Unlock()
	cost := n + int64(held)
	if r.chain != nil { // else records have only lines, which n counts
		cost = max(cost, sizeAsSent(fl.batch.Records[from:]))
	}
	cost += int64(s.records * f.overhead)
	r.least = 0
	if n > 0 {
		// The record after a long one is usually long as well.
		r.size = int(min(max(costPerTurn*n/cost, leastRead), int64(max(r.size/2, quantum))))
	}
	s.cost = cost
	s.common = s.common && r.common
	f.showPlace()
	fl.add(s, int(cost), now)
}

// perMember is what a field costs besides its JSON text in the most verbose of the protocols, OTLP.
const perMember = 8

// sizeAsSent estimates the bytes that the records' lines and fields take in a request. It counts members in one record of
// eight and assumes as many in the others: counting costs a hundredth of what parsing does.
func sizeAsSent(records []record.Record) (size int64) {
	const sample = 8
	for i := range records {
		r := &records[i]
		size += int64(len(r.Line) + len(r.Fields))
		if i%sample == 0 && len(r.Fields) > 0 {
			size += perMember * int64(1+bytes.Count(r.Fields, comma)) * min(sample, int64(len(records)-i))
		}
	}
	return size
}

var comma = []byte{','}

// asGap returns the gap that err holds, or nil. It allocates only if there is an error.
func asGap(err error) *stream.Gap {
	if err == nil {
		return nil
	}
	var gap *stream.Gap
	errors.As(err, &gap)
	return gap
}

// noteError logs once that a stream can't be read, and once that it can again.
func (f *Feed) noteError(err error, now time.Time) {
	r := &f.reader
	r.retryAt = time.Time{}
	if err == nil {
		if r.failing {
			r.failing = false
			f.log().Info("stream readable again")
		}
		return
	}
	r.retryAt = now.Add(readAgain)
	f.tee.reached.Store(nowhere) // other feeds must not wait for it
	if !r.failing {
		r.failing = true
		notice.StreamUnreadable.Log(f.log(), "offset", r.cursor, "error", err)
	}
	f.ledger.mu.Lock()
	f.ledger.losses.Error, f.ledger.losses.Since = err.Error(), now
	f.ledger.mu.Unlock()
}

// noteSkipped logs that bytes were skipped, at most once per complainEvery.
func (f *Feed) noteSkipped(now time.Time) {
	r := &f.reader
	bytes, places := r.cutter.Skipped()
	if bytes == 0 || bytes == r.skipLogged {
		return
	}
	if r.lastSkipLog.IsZero() || now.Sub(r.lastSkipLog) >= complainEvery {
		r.lastSkipLog, r.skipLogged = now, bytes
		notice.BytesSkipped.Log(f.log(), "bytes", bytes, "places", places, "before", r.cursor)
	}
}

func (f *Feed) log() *slog.Logger {
	return f.pipeline.log.With("stream", f.key.Stream, "declaration", f.key.Declaration, "output", f.key.Output)
}

// Detach stops reading. The route's Done is called once everything that was read is acknowledged. The checkpoint is kept.
func (f *Feed) Detach() { f.detached.Store(true) }
