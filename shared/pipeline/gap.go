// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strconv"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// skip ends what is unfinished before a gap, adds a marker in place of the lost bytes, and continues behind the gap.
func (f *Feed) skip(fl *inflightBatch, g *stream.Gap, now time.Time) int64 {
	r := &f.reader
	b, from, mark := fl.batch, len(fl.batch.Records), fl.batch.Savepoint()
	rest, ok := f.before(g, b.Free())
	if !ok {
		fl.full = len(fl.ranges) > 0
		return 0
	}
	b.Keep(len(rest))
	n := r.cutter.Cut(b, rest, r.cursor, now.UnixNano(), true)
	failed := r.cutter.Err()
	b.Keep(n - len(rest))
	f.noteSkipped(now)
	f.noteError(failed, now)
	if r.chain != nil {
		f.apply(b, from, now.UnixNano(), failed == nil)
	}
	if failed != nil || r.pending() { // the gap is met again after the pending records
		r.cursor += int64(n)
		f.publish()
		f.book(fl, from, int64(n), b.Added(mark), false, now)
		return 0
	}
	b.Records = append(b.Records, record.Record{Fields: gapFields(b, g), Source: f.route.Source, Time: now.UnixNano(),
		Offset: r.cursor, Marker: true})
	r.cursor = max(r.cursor, g.To)
	r.scannedTo, r.tailTorn = r.cursor, false
	f.drop(g)
	f.publish()
	f.book(fl, from, int64(len(rest)), b.Added(mark), false, now)
	s := &fl.ranges[len(fl.ranges)-1]
	s.gaps, s.droppedRecords, s.droppedBytes = 1, max(0, g.Records), g.Bytes
	s.common = false // other feeds may have read what this one could not
	return 0
}

// drop counts a gap only once: a feed that has returned to its checkpoint meets it again.
func (f *Feed) drop(g *stream.Gap) {
	l := &f.ledger
	l.mu.Lock()
	first := g.To > l.dropsTo
	if first {
		l.dropsTo = g.To
		l.counts.drop(max(0, g.Records), g.Bytes)
		l.counts.Gaps++
	}
	l.mu.Unlock()
	if first {
		notice.StreamGap.Log(f.log(), "records", g.Records, "bytes", g.Bytes, "from", g.From, "to", g.To,
			"reason", g.Reason)
	}
}

// before reads into p the bytes between the cursor and the gap, usually none. It is not ok if p is too small, or if they
// can't be read now.
func (f *Feed) before(g *stream.Gap, p []byte) (rest []byte, ok bool) {
	size := g.From - f.reader.cursor
	if size <= 0 {
		return nil, true
	}
	if size > int64(len(p)) {
		return nil, false
	}
	n, err := f.route.Stream.ReadAt(p[:size], f.reader.cursor)
	return p[:n], err == nil && int64(n) == size
}

// gapBehind returns the gap that starts where the last read ended; nil if there is none.
func (f *Feed) gapBehind() *stream.Gap {
	_, err := f.route.Stream.ReadAt(make([]byte, 1), f.reader.scannedTo)
	return asGap(err)
}

func gapFields(b *record.Batch, g *stream.Gap) []byte {
	at := len(b.Arena)
	a := append(b.Arena, `"remora":"gap"`...)
	if g.Records >= 0 {
		a = strconv.AppendInt(append(a, `,"records":`...), g.Records, 10)
	}
	if g.Bytes > 0 {
		a = strconv.AppendInt(append(a, `,"bytes":`...), g.Bytes, 10)
	}
	a = strconv.AppendInt(append(a, `,"from":`...), g.From, 10)
	a = strconv.AppendInt(append(a, `,"to":`...), g.To, 10)
	a = record.AppendString(append(a, `,"reason":`...), g.Reason)
	b.Arena = a
	return a[at:len(a):len(a)]
}
