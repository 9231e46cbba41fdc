// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/notice"
)

const (
	// maintainInterval is how often the free space of the disk is measured, and how often what failed is tried again.
	maintainInterval = time.Second
	// maintainPause follows each pass, so that many small releases are one pass.
	maintainPause = 10 * time.Millisecond
)

// wake makes the maintenance goroutine run a pass soon. It is usually no more than a load.
func (s *Spool) wake() {
	if s.wakePending.Load() || s.wakePending.Swap(true) {
		return
	}
	select {
	case s.wakeCh <- struct{}{}:
	default:
	}
}

// maintenanceLoop is the one goroutine that gives back space, so that neither capture nor delivery has to.
func (s *Spool) maintenanceLoop(ctx context.Context) {
	tick := time.NewTicker(maintainInterval)
	defer tick.Stop()
	for {
		s.maintain(false)
		select {
		case <-ctx.Done():
			return
		case <-time.After(maintainPause):
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wakeCh:
		case <-tick.C:
			s.maintain(true)
		}
	}
}

// maintain gives back what is no longer needed, and makes room where a budget is exceeded. A full pass also retries what
// failed before and closes what is idle.
func (s *Spool) maintain(full bool) {
	s.wakePending.Store(false) // first, so that what happens from here on wakes it again
	logs := s.Logs()
	allotHistory(logs)
	for _, l := range logs {
		if full || l.maintenanceDue.Swap(false) {
			l.maintain(full)
		}
	}
	if s.descriptors.Swap(false) || s.openFiles.Load() > s.opt.MaxOpen {
		s.closeIdle(true)
	} else if full {
		s.closeIdle(false)
	}
	s.measure()
	s.enforceBudget(logs)
	s.limitEnded(logs)
}

// maintain gives back what is no longer needed, and persists what is not persisted yet.
func (l *Log) maintain(full bool) {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.removed {
		return
	}
	// A failure here was logged when it happened first, and is retried in a second.
	if err := l.storeManifest(); err == nil && (l.unwritten.Load() || full && l.published.Load() != nil) {
		_ = l.writeGapFile(nil)
	}
	l.free()
}

// closeIdle closes the segments that were not used since it was called last; all that are not in use right now if now is
// set.
func (s *Spool) closeIdle(now bool) {
	for _, l := range s.Logs() {
		for _, g := range *l.segments.Load() {
			if g.file.Load() == nil || g.used.Swap(false) && !now {
				continue
			}
			if l.writeMu.TryLock() { // else capture is appending
				g.close()
				l.writeMu.Unlock()
			}
		}
	}
}

// measure finds out how much more than the disk has should be free, in bytes and in inodes.
func (s *Spool) measure() {
	free, err := s.disk.space(s.opt.Dir)
	if err != nil {
		return // the directory does not exist, which was logged when the spool was opened
	}
	minFree := min(s.opt.MinFree, free.totalBytes/10)
	s.minFree.Store(minFree)
	s.freeShortfall.Store(minFree - free.bytes)
	if free.totalInodes > 0 { // some file systems make them when they are needed, and count none
		s.inodeShortfall.Store(min(free.totalInodes/10, maxFreeInodes) - free.inodes)
	}
}

// enforceBudget drops the oldest data of those logs that may be dropped from: of each that exceeds its own budget, and
// then of the largest, as long as the node's is exceeded. It drops a little more than it has to, or it would be needed
// again for each piece that is appended.
func (s *Spool) enforceBudget(logs []*Log) {
	for _, l := range logs {
		if excess := l.stored.Load() - softLimit(l.opt.MaxBytes); excess > 0 {
			l.dropHistory()
			if l.dropAllowed.Load() && l.stored.Load() > softLimit(l.opt.MaxBytes) {
				l.drop(excess + l.opt.MaxBytes/16)
			}
		}
	}
	if s.excess() <= 0 {
		return
	}
	for _, l := range logs {
		if l.dropHistory(); s.excess() <= 0 {
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

// excess is how many bytes have to be given back: it is positive a little before the node's budget, or the free space of
// the disk, is used up.
func (s *Spool) excess() int64 {
	all := s.stored.Load()
	return max(all-softLimit(s.opt.MaxBytes), min(s.freeShortfall.Load()+s.minFree.Load()/8, all-alwaysAllowed))
}

func largestBacklog(logs []*Log, not map[*Log]bool) (largest *Log) {
	for _, l := range logs {
		if l.dropAllowed.Load() && !not[l] && l.stored.Load() > 0 &&
			(largest == nil || l.stored.Load() > largest.stored.Load()) {
			largest = l
		}
	}
	return largest
}

// dropHistory gives up what is kept for docker logs alone.
func (l *Log) dropHistory() {
	if l.history.Swap(0) > 0 {
		l.maintMu.Lock()
		l.free()
		l.maintMu.Unlock()
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
			l.maintenanceDue.Store(true)
		}
		left = max(left-l.stored.Load()-logOverhead, 0)
	}
}

// Container is the part of the key before its last dash.
func (l *Log) Container() string { return l.key[:max(strings.LastIndexByte(l.key, '-'), 0)] }

// free gives back the space of what no view needs and no history wants, and removes a log that has ended once all views
// have all of it. It returns how many bytes that were. Under maintMu.
func (l *Log) free() int64 {
	if l.removed || l.spool.opt.Role == Writer {
		return 0
	}
	ended, end := l.ended.Load(), l.end.Load()
	needed := l.needed(ended, end)
	delivered := ended && l.lowestReleased() >= end
	if delivered && len(needed) == 0 {
		return l.remove()
	}
	if delivered && !l.historyOnly {
		l.keepHistoryOnly()
	}
	low := end
	if len(needed) > 0 {
		low = needed[0].from
	}
	l.freed.Store(max(l.freed.Load(), low)) // first, so that docker logs does not read there
	var total int64
	segs := *l.segments.Load()
	for i, g := range segs {
		if last := i == len(segs)-1; (!last || ended) && !overlaps(needed, g.base, g.end()) {
			total += g.cost()
			l.removeSegment(g)
			continue
		}
		if punched := l.punch(g, needed); punched > 0 {
			total += punched
		}
	}
	l.dropPassedGaps()
	l.addStored(-total)
	return total
}

// keepHistoryOnly marks a log that was delivered and stays for docker logs. It needs neither gap file nor the other
// marker any more. Under maintMu.
func (l *Log) keepHistoryOnly() {
	l.createMarker(deliveredName)
	l.historyOnly = true
	for _, name := range []string{endedName, gapFileName} {
		os.Remove(filepath.Join(l.dir, name)) // else it stays, and costs an inode
	}
}

// dropPassedGaps forgets the shared gaps that all views are past.
func (l *Log) dropPassedGaps() {
	lowest := l.lowestReleased()
	if gaps := *l.sharedGaps.Load(); len(gaps) == 0 || gaps[0].to > lowest {
		return
	}
	change(&l.sharedGaps, func(gaps []gap) []gap {
		return slices.DeleteFunc(gaps, func(g gap) bool { return g.to <= lowest })
	})
}

// remove takes the log off the disk and off the books. Under maintMu.
func (l *Log) remove() int64 {
	segs := l.segments.Swap(&[]*segment{})
	for _, g := range *segs {
		g.gone.Store(true)
		g.close()
	}
	if err := os.RemoveAll(l.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.warn(notice.SpoolNotRemoved, err)
	}
	l.removed = true
	total := l.stored.Load()
	l.addStored(-total)
	l.spool.remove(l)
	return total
}

// drop gives up the oldest data that no view has read yet, about need bytes of them, and returns how much space that
// gave. What is given up is counted frame by frame and persisted before it goes.
func (l *Log) drop(need int64) int64 {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.removed {
		return 0
	}
	l.dropUnread(need, reasonSpoolFull)
	return l.free()
}

// dropUnread makes gaps of about need bytes that no view has read yet, and returns them. Under maintMu.
func (l *Log) dropUnread(need int64, reason string) []dropped {
	plan := l.plan(need)
	entries := make([]storedGap, len(plan))
	for i, d := range plan {
		notice.SpoolDropped.Log(l.spool.opt.Log, slog.String("reason", reason), slog.String("stream", l.key),
			slog.String("reader", d.view.name), slog.Int64("records", d.records), slog.Int64("bytes", d.to-d.from))
		d.reason = reason
		plan[i].gap = d.view.merged(d.gap)
		entries[i] = plan[i].gap.stored(d.view.name)
	}
	if len(plan) == 0 {
		return nil
	}
	if err := l.writeGapFile(entries); err != nil {
		l.warn(notice.SpoolGapNotCounted, err)
	}
	for i, d := range plan {
		d.view.addGap(d.gap)
		plan[i].gap = d.gap
		l.lastBoundary.Store(max(l.lastBoundary.Load(), d.to))
	}
	return plan
}
