// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/stream"
)

const maxOffset = math.MaxInt64

// View is the stream.Stream of one reader of a log. It holds where the reader is, what it has released, and the gaps that
// were dropped before it could read them. The reader must call ReadAt only at boundaries between frames; the bytes that a
// cutter has consumed end at one.
type View struct {
	log      *Log
	name     string
	released atomic.Int64 // its checkpoint, below which it will not read again
	cursor   atomic.Int64 // where its furthest read began: a boundary between frames
	passed   atomic.Int64 // an offset of Log.EndLine that it has reached; 0 for none
	known    knownChunks  // owned by the goroutine that reads

	// mu guards the fields below against maintenance; capture never takes it.
	mu    sync.Mutex
	read  int64 // where its furthest read ended: what lies below is in flight
	limit int64 // reads stop here while maintenance gives up what lies above
	gaps  []gap // ascending, disjoint
	// lastGapGrows is set while the last gap is being extended; its reader waits for that.
	lastGapGrows bool
}

var _ stream.Stream = (*View)(nil)

func newView(l *Log, name string, at int64) *View {
	v := &View{log: l, name: name, limit: maxOffset}
	v.start(at)
	return v
}

// start sets the position of a view that has not been read yet.
func (v *View) start(at int64) {
	v.read = at
	v.released.Store(at)
	v.cursor.Store(at)
}

// Key implements stream.Stream.
func (v *View) Key() string { return v.log.key }

// End implements stream.Stream.
func (v *View) End() int64 { return v.log.End() }

// Ended implements stream.Stream.
func (v *View) Ended() bool { return v.log.ended.Load() || v.passed.Load() < v.log.lineEnd.Load() }

// Mark implements stream.Stream: a log's key and offsets are never given to other bytes, so there is nothing to prove.
func (v *View) Mark(int64) ([]byte, error) { return nil, nil }

// Released returns the view's checkpoint. Before the first Release it is where the view begins.
func (v *View) Released() int64 { return v.released.Load() }

// ReadAt implements stream.Stream.
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at := v.log.lineEnd.Load(); off >= at {
		v.passed.Store(at)
	}
	ended := v.log.ended.Load() // before the end, which is final from then on
	end := v.log.End()
	mine, next := findGap(v.gaps, off)
	if mine != nil {
		if v.lastGapGrows && mine == &v.gaps[len(v.gaps)-1] {
			return 0, nil
		}
		mine.reported = true
		return 0, mine.error()
	}
	shared, nextShared := findGap(*v.log.sharedGaps.Load(), off)
	if shared != nil {
		return 0, shared.error()
	}
	var n int
	if stop := min(end, v.limit, next, nextShared); off < stop {
		var err error
		if n, err = v.log.pread(p, off, stop); err != nil {
			return 0, err
		}
		v.cursor.Store(max(off, v.cursor.Load()))
		v.read = max(off+int64(n), v.read)
	}
	if ended && off+int64(n) >= end {
		return n, io.EOF
	}
	return n, nil
}

// Follow lets the view skip bytes that another view of the same log has read. It returns false if some of them were dropped
// for this view, or are about to be.
func (v *View) Follow(from, to int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	mine, next := findGap(v.gaps, from)
	if mine != nil || to > min(next, v.limit) {
		return false
	}
	v.cursor.Store(max(from, v.cursor.Load()))
	v.read = max(to, v.read)
	return true
}

// GivenUp returns how much was dropped at or above off, which the reader has not reached, so that a loss is counted when it
// happens. A gap whose number of records is unknown adds none to records.
func (v *View) GivenUp(off int64) (gaps, records, bytes int64) {
	count := func(g *gap) {
		if g.from >= off {
			e := g.error()
			gaps, records, bytes = gaps+1, records+max(0, e.Records), bytes+e.Bytes
		}
	}
	open := v.log.published.Load() // first, because it may become a shared gap meanwhile
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.gaps {
		count(&v.gaps[i])
	}
	shared := *v.log.sharedGaps.Load()
	for i := range shared {
		if own, _ := findGap(v.gaps, shared[i].from); own == nil {
			count(&shared[i])
		}
	}
	if open != nil {
		if closed, _ := findGap(shared, open.from); closed == nil {
			count(open)
		}
	}
	return gaps, records, bytes
}

// MaxInFlight returns how many bytes the view may be read ahead of its checkpoint. Bytes in flight are never dropped. If
// they could fill the budget, the newest bytes would be dropped instead of the oldest.
func (v *View) MaxInFlight() int64 {
	return max(min(v.log.opt.MaxBytes, v.log.spool.opt.MaxBytes)/4, 64<<10)
}

// Rewind lets the view read from off again. What it read above off is no longer in flight and may be dropped.
func (v *View) Rewind(off int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read = max(off, v.released.Load())
	v.cursor.Store(v.read)
}

// Release implements stream.Stream.
func (v *View) Release(off int64) {
	if off <= v.released.Load() {
		return
	}
	v.mu.Lock()
	for len(v.gaps) > 0 && v.gaps[0].to <= off {
		v.gaps = v.gaps[1:]
	}
	v.mu.Unlock()
	v.released.Store(off)
	v.log.wakeMaintenance()
}

// boundary returns the highest known boundary between frames: the view began a read there, or has released everything below.
func (v *View) boundary() int64 { return max(v.cursor.Load(), v.released.Load()) }

// limitReads keeps the view from reading beyond the first boundary between frames that it has not read past, and returns
// that boundary. What lies below is in flight and will be delivered. exact is false if the bytes are not frames, so that the
// boundary is unknown. unlimitReads removes the limit.
func (v *View) limitReads(end int64) (at int64, exact bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, _, exact = v.log.skipFrames(v.boundary(), v.read, end)
	if at < v.read && exact {
		at = end // all but the beginning of a frame is in flight
	}
	at = max(at, v.read, v.released.Load())
	if n := len(v.gaps); n > 0 {
		at = max(at, v.gaps[n-1].to)
	}
	if g, ok := v.log.sharedGapAt(at); ok {
		at = g.to
	}
	v.limit = min(at, end)
	n := len(v.gaps)
	v.lastGapGrows = n > 0 && v.gaps[n-1].to == v.limit && !v.gaps[n-1].reported
	return v.limit, exact
}

func (v *View) unlimitReads() {
	v.mu.Lock()
	v.limit, v.lastGapGrows = maxOffset, false
	v.mu.Unlock()
}

// merged returns the gap that g becomes for the reader: consecutive drops ahead of the reader form one gap.
func (v *View) merged(g gap) gap {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.gaps); v.lastGapGrows {
		last := v.gaps[n-1]
		last.extend(g)
		return last
	}
	return g
}

// addGap adds a gap that merged has returned, and removes the limit.
func (v *View) addGap(g gap) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lastGapGrows {
		v.gaps = v.gaps[:len(v.gaps)-1]
	}
	v.gaps = append(v.gaps, g)
	v.limit, v.lastGapGrows = maxOffset, false
}

// finalGaps returns the gaps that no longer grow.
func (v *View) finalGaps() []gap {
	v.mu.Lock()
	defer v.mu.Unlock()
	gaps := v.gaps
	if v.lastGapGrows {
		gaps = gaps[:len(gaps)-1]
	}
	return slices.Clone(gaps)
}

func (g *gap) extend(by gap) {
	g.to = by.to
	if g.records < 0 || by.records < 0 {
		g.records = -1
	} else {
		g.records += by.records
	}
}

// fillHoles adds a gap for each range between the view's checkpoint and the end that is in no segment and no known gap.
// Bytes before the first segment were removed when other readers had them. The others were lost in a crash of the machine.
func (v *View) fillHoles(segs []*segment, end int64) {
	shared := *v.log.sharedGaps.Load()
	for at := v.released.Load(); at < end; {
		mine, next := findGap(v.gaps, at)
		all, nextShared := findGap(shared, at)
		i := segmentAt(segs, at)
		switch {
		case mine != nil:
			at = mine.to
		case all != nil:
			at = all.to
		case i >= 0 && at < segs[i].end():
			at = segs[i].end()
		default:
			reason := reasonCrash
			if i < 0 && v.fromStart() {
				reason = reasonRemoved
			}
			next = min(next, nextShared, end)
			if i+1 < len(segs) {
				next = min(next, segs[i+1].base)
			}
			v.gaps = append(v.gaps, gap{from: at, to: next, records: -1, reason: reason, reported: true})
			sortGaps(v.gaps)
			at = next
		}
	}
}

// TookOver reports whether the view had no checkpoint and took over the position of another reader of its group. at is where
// the view begins.
func (v *View) TookOver() (at int64, ok bool) {
	at = v.released.Load()
	return at, v.fromStart() && at > 0
}

// fromStart reports whether the view was opened without a checkpoint.
func (v *View) fromStart() bool { return v.log.opt.Views[v.name] < 0 }
