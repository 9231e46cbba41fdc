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
	// maintainInterval is how often the disk's free space is measured and failed operations are retried.
	maintainInterval = time.Second
	// maintainPause follows each pass, so that one pass handles many small releases.
	maintainPause = 10 * time.Millisecond
)

// wake makes the maintenance goroutine run a pass soon. It usually costs only a load.
func (s *Spool) wake() {
	if s.wakePending.Load() || s.wakePending.Swap(true) {
		return
	}
	select {
	case s.wakeCh <- struct{}{}:
	default:
	}
}

// maintenanceLoop is the goroutine that gives back space, so that neither capture nor delivery has to.
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

// maintain gives back what is no longer needed, and makes room if a budget is exceeded. A full pass also retries what failed
// before and closes idle segments.
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

// maintain gives back what is no longer needed, and persists the manifest and the gaps if they are not persisted yet.
func (l *Log) maintain(full bool) {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.removed {
		return
	}
	// A failure here was logged when it first happened, and is retried within a second.
	if err := l.storeManifest(); err == nil && (l.unwritten.Load() || full && l.published.Load() != nil) {
		_ = l.writeGapFile(nil)
	}
	l.free()
}

// closeIdle closes the segments that were not used since the last call or, if now is set, all that are not being used.
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

// measure measures how many bytes and inodes of the disk are free, and stores how many too few that is.
func (s *Spool) measure() {
	free, err := s.disk.space(s.opt.Dir)
	if err != nil {
		return // the directory does not exist, which was logged when the spool was opened
	}
	minFree := min(s.opt.MinFree, free.totalBytes/10)
	s.minFree.Store(minFree)
	s.freeShortfall.Store(minFree - free.bytes)
	if free.totalInodes > 0 { // some file systems create inodes as needed and report none
		s.inodeShortfall.Store(min(free.totalInodes/10, maxFreeInodes) - free.inodes)
	}
}

// enforceBudget drops history and then the oldest data, as far as policies allow: of each log that exceeds its own budget, and
// then of the largest ones, as long as the spool's budget is exceeded. It drops a little more than necessary, so that it is not
// needed again for each piece that is appended.
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

// excess returns how many bytes must be given back. It becomes positive a little before the spool's budget, or the free space of
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

// dropHistory gives up what is kept only for docker logs.
func (l *Log) dropHistory() {
	if l.history.Swap(0) > 0 {
		l.maintMu.Lock()
		l.free()
		l.maintMu.Unlock()
	}
}

// allotHistory divides a container's history among its logs, the newest first. Each start of a container has a log of its own,
// with a greater key than the ones before.
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

// Container returns the part of the key before its last dash, which identifies the container.
func (l *Log) Container() string { return l.key[:max(strings.LastIndexByte(l.key, '-'), 0)] }

// free gives back the space that neither a view nor history needs, and removes a log that has ended once all views have released
// all of it and it has no history. It returns the number of bytes given back. The caller holds l.maintMu.
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
	l.freed.Store(max(l.freed.Load(), low)) // first, so that docker logs does not read below
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

// keepHistoryOnly marks a log that was delivered and stays for docker logs. It no longer needs the gap file and the other
// marker. The caller holds l.maintMu.
func (l *Log) keepHistoryOnly() {
	l.createMarker(deliveredName)
	l.historyOnly = true
	for _, name := range []string{endedName, gapFileName} {
		os.Remove(filepath.Join(l.dir, name)) // if this fails, the file costs an inode
	}
}

// dropPassedGaps drops the shared gaps that all views have passed.
func (l *Log) dropPassedGaps() {
	lowest := l.lowestReleased()
	if gaps := *l.sharedGaps.Load(); len(gaps) == 0 || gaps[0].to > lowest {
		return
	}
	change(&l.sharedGaps, func(gaps []gap) []gap {
		return slices.DeleteFunc(gaps, func(g gap) bool { return g.to <= lowest })
	})
}

// remove removes the log from the disk and from the spool. The caller holds l.maintMu.
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

// drop gives up about need bytes of the oldest data that a view has not read yet, and returns how many bytes of the disk were
// given back. Its gaps are counted in frames and persisted before the data is removed.
func (l *Log) drop(need int64) int64 {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.removed {
		return 0
	}
	l.dropUnread(need, reasonSpoolFull)
	return l.free()
}

// dropUnread adds to each view a gap for what it loses if about need bytes of the oldest unread data are given up, and returns
// what each view loses. The caller holds l.maintMu.
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
