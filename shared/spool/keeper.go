// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// keeperTick is how often the keeper looks at the free space of the disk, and at what failed before.
	keeperTick = time.Second
	// keeperRest is how long it rests after a round, so that many small releases are one round.
	keeperRest = 10 * time.Millisecond
)

// wake makes the keeper look soon. It is a load and mostly nothing more.
func (s *Spool) wake() {
	if s.awake.Load() || s.awake.Swap(true) {
		return
	}
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// keep is the keeper: the one goroutine that gives back space, so that neither capture nor delivery has to.
func (s *Spool) keep(ctx context.Context) {
	tick := time.NewTicker(keeperTick)
	defer tick.Stop()
	for {
		s.round(false)
		select {
		case <-ctx.Done():
			return
		case <-time.After(keeperRest):
		}
		select {
		case <-ctx.Done():
			return
		case <-s.bell:
		case <-tick.C:
			s.round(true)
		}
	}
}

// round gives back what is no longer needed, and makes room where a budget is exceeded. A thorough one also does what
// could not be done before.
func (s *Spool) round(thorough bool) {
	s.awake.Store(false) // first, so that what happens from here on wakes it again
	logs := s.Logs()
	allotHistory(logs)
	for _, l := range logs {
		if thorough || l.touched.Swap(false) {
			l.tend(thorough)
		}
	}
	s.measure()
	s.relieve(logs)
}

// tend gives back what is no longer needed, and writes down what is not written down yet.
func (l *Log) tend(thorough bool) {
	l.care.Lock()
	defer l.care.Unlock()
	if l.removed {
		return
	}
	// What fails here was reported when it failed first, and is tried again in a second.
	if err := l.keepJournal(); err == nil && (l.unwritten.Load() || thorough && l.losing.Load() != nil) {
		_ = l.writeLedger(nil)
	}
	l.free()
}

// measure finds out how much more than the disk has should be free.
func (s *Spool) measure() {
	free, total, err := s.disk.space(s.opt.Dir)
	if err != nil {
		return // the directory is not there, which was said when the spool was opened
	}
	floor := min(s.opt.MinFree, total/10)
	s.floor.Store(floor)
	s.short.Store(floor - free)
}

// relieve drops the oldest data of those logs that may be dropped from: of each that exceeds its own budget, and then of
// the largest, as long as the node's is exceeded. It goes a little further than it has to, or it would come back for
// each piece that is appended.
func (s *Spool) relieve(logs []*Log) {
	for _, l := range logs {
		if over := l.stored.Load() - softLimit(l.opt.MaxBytes); over > 0 {
			l.forget()
			if l.yields.Load() && l.stored.Load() > softLimit(l.opt.MaxBytes) {
				l.drop(over + l.opt.MaxBytes/16)
			}
		}
	}
	if s.excess() <= 0 {
		return
	}
	for _, l := range logs {
		if l.forget(); s.excess() <= 0 {
			return
		}
	}
	fruitless := map[*Log]bool{}
	for s.excess() > 0 {
		largest := largestBacklog(logs, fruitless)
		if largest == nil {
			return
		}
		if largest.drop(s.excess()+min(s.opt.MaxBytes/32, largest.stored.Load()/2)) == 0 {
			fruitless[largest] = true
		}
		s.measure()
	}
}

// excess is how many bytes are to be given back: where the node's budget, or the disk's floor, begins to be felt.
func (s *Spool) excess() int64 {
	all := s.stored.Load()
	return max(all-softLimit(s.opt.MaxBytes), min(s.short.Load()+s.floor.Load()/8, all-alwaysAllowed))
}

func largestBacklog(logs []*Log, not map[*Log]bool) (largest *Log) {
	for _, l := range logs {
		if l.yields.Load() && !not[l] && l.stored.Load() > 0 && (largest == nil || l.stored.Load() > largest.stored.Load()) {
			largest = l
		}
	}
	return largest
}

// forget gives up what is kept for docker logs alone.
func (l *Log) forget() {
	if l.history.Swap(0) > 0 {
		l.care.Lock()
		l.free()
		l.care.Unlock()
	}
}

// allotHistory divides what a container may keep of its past among its streams, the newest first: each start of a
// container is a stream of its own, and their keys ascend.
func allotHistory(logs []*Log) {
	container, left := "", int64(0)
	for i := len(logs) - 1; i >= 0; i-- {
		l := logs[i]
		if l.opt.History == 0 {
			continue
		}
		if id := l.Container(); id != container {
			container, left = id, l.opt.History
		}
		if l.history.Swap(left) != left {
			l.touched.Store(true)
		}
		left = max(left-l.stored.Load(), 0)
	}
}

// Container is the part of the key before its last dash.
func (l *Log) Container() string { return l.key[:max(strings.LastIndexByte(l.key, '-'), 0)] }

// free gives back the space of what no view needs and no history wants, and removes a log that has ended once all views
// have all of it. It returns how many bytes that were. Under care.
func (l *Log) free() int64 {
	if l.removed {
		return 0
	}
	ended, end := l.ended.Load(), l.end.Load()
	needed := l.needed(ended, end)
	if ended && len(needed) == 0 {
		return l.remove()
	}
	if ended && !l.kept && l.settled() >= end {
		l.mark(deliveredName)
		l.kept = true
	}
	low := end
	if len(needed) > 0 {
		low = needed[0].from
	}
	l.freed.Store(max(l.freed.Load(), low)) // first, so that docker logs does not look there
	var total int64
	segs := *l.segments.Load()
	for i, g := range segs {
		size := g.size.Load()
		if last := i == len(segs)-1; !last && !overlaps(needed, g.base, g.base+size) {
			total += size - g.freed
			l.dropSegment(g)
			continue
		}
		if punched := l.punch(g, needed); punched > 0 {
			total += punched
		}
	}
	l.forgetLosses()
	l.addStored(-total)
	return total
}

// forgetLosses drops the losses that all views are past.
func (l *Log) forgetLosses() {
	settled := l.settled()
	if losses := *l.losses.Load(); len(losses) == 0 || losses[0].to > settled {
		return
	}
	change(&l.losses, func(gaps []gap) []gap {
		return slices.DeleteFunc(gaps, func(g gap) bool { return g.to <= settled })
	})
}

func (l *Log) remove() int64 {
	segs := *l.segments.Load()
	for _, g := range segs {
		g.file.Close()
	}
	l.segments.Store(&[]*segment{})
	if err := os.RemoveAll(l.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.warn("can't remove a stream that is delivered", err)
	}
	l.removed = true
	total := l.stored.Load()
	l.addStored(-total)
	l.spool.mu.Lock()
	delete(l.spool.logs, l.key)
	l.spool.mu.Unlock()
	return total
}

// drop gives up the oldest data that no view has read yet, about need bytes of them, and returns how much space that
// gave. What is given up is counted frame by frame and written down before it goes.
func (l *Log) drop(need int64) int64 {
	l.care.Lock()
	defer l.care.Unlock()
	if l.removed {
		return 0
	}
	plan := l.plan(need)
	if len(plan) == 0 {
		return l.free()
	}
	entries := make([]ledgerEntry, len(plan))
	for i, d := range plan {
		l.spool.opt.Log.Warn("spool full: the oldest data are dropped", slog.String("stream", l.key),
			slog.String("reader", d.view.name), slog.Int64("records", d.records), slog.Int64("bytes", d.to-d.from))
		g := d.view.merged(d.gap)
		plan[i].gap = g
		entries[i] = ledgerEntry{d.view.name, g.from, g.to, g.records, g.reason}
	}
	if err := l.writeLedger(entries); err != nil {
		l.warn("can't write down what is dropped; a restart before it can be would not know how many records", err)
	}
	for _, d := range plan {
		d.view.giveUp(d.gap)
		l.fenced.Store(max(l.fenced.Load(), d.to))
	}
	return l.free()
}
