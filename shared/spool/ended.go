// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/notice"
)

const (
	// maxHistoryAge is how long the history of a container's earlier start is kept for docker logs.
	maxHistoryAge = 7 * 24 * time.Hour
	// maxFreeInodes bounds how many inodes of the disk must stay free, which is otherwise a tenth of them.
	maxFreeInodes = 16 << 10
	// alwaysEnded is how many ended logs are kept even if too few inodes are free, so that a disk whose inodes others have used
	// up does not stop all collection.
	alwaysEnded = 32
	// evictedPerPass bounds the logs that one pass evicts, so that budgets do not wait long for the next pass.
	evictedPerPass = 64
)

const reasonTooMany = "too many ended streams"

// limitEnded removes ended logs if there are too many of them or if the disk runs out of inodes, and history that is too old.
// Each log costs a directory, some inodes and some memory, however little it holds.
func (s *Spool) limitEnded(logs []*Log) {
	var ended []*Log
	history := 0
	for _, l := range logs {
		if !l.ended.Load() || l.expireHistory() {
			continue
		}
		if ended = append(ended, l); l.isHistory() {
			history++
		}
	}
	excess := max(len(ended)-s.opt.MaxEnded, history-s.opt.MaxEnded/4)
	if s.inodeShortfall.Load() > 0 {
		excess = max(excess, min(len(ended)-alwaysEnded, int(min(s.inodeShortfall.Load()/inodesPerLog+1, math.MaxInt32))))
	}
	for _, l := range victims(ended, min(excess, evictedPerPass)) {
		l.evict()
	}
}

// inodesPerLog is how many inodes the smallest log that holds anything uses: directory, manifest, gap file, segment and marker.
const inodesPerLog = 5

// expireHistory removes a log that is kept only for docker logs if it has become too old. It reports whether the log is removed.
func (l *Log) expireHistory() bool {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.historyOnly && !l.removed && l.spool.now().Sub(l.endedAt) > maxHistoryAge {
		l.remove()
	}
	return l.removed
}

// victims returns the n logs to remove first: the delivered ones, the oldest first; then, one by one, the oldest of the container
// that has most logs, so that a container that restarts all the time only loses its own.
func victims(ended []*Log, n int) []*Log {
	if n <= 0 {
		return nil
	}
	slices.SortStableFunc(ended, func(a, b *Log) int { return a.endedAt.Compare(b.endedAt) })
	var found []*Log
	byContainer := map[string][]*Log{}
	for _, l := range ended {
		if l.isHistory() {
			found = append(found, l)
		} else {
			byContainer[l.Container()] = append(byContainer[l.Container()], l)
		}
	}
	for len(found) < n && len(byContainer) > 0 {
		var most string
		for id, logs := range byContainer {
			if c := cmp.Compare(len(logs), len(byContainer[most])); c > 0 || c == 0 && id < most {
				most = id
			}
		}
		found = append(found, byContainer[most][0])
		if byContainer[most] = byContainer[most][1:]; len(byContainer[most]) == 0 {
			delete(byContainer, most)
		}
	}
	return found[:min(n, len(found))]
}

func (l *Log) isHistory() bool {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	return l.historyOnly
}

// evict removes a log, whether it was delivered or not, and counts what was lost with it.
func (l *Log) evict() {
	l.maintMu.Lock()
	if l.removed {
		l.maintMu.Unlock()
		return
	}
	var lost Evicted
	if !l.historyOnly {
		lost.Logs = 1
		for _, d := range l.dropUnread(math.MaxInt64/2, reasonTooMany) {
			lost.Bytes += d.to - d.from
			lost.Records += max(d.records, 0)
		}
	}
	l.remove()
	l.maintMu.Unlock()
	if lost.Logs == 0 {
		return
	}
	s := l.spool
	atomic.AddInt64(&s.evicted.Logs, lost.Logs)
	atomic.AddInt64(&s.evicted.Bytes, lost.Bytes)
	atomic.AddInt64(&s.evicted.Records, lost.Records)
	notice.SpoolEvicted.Log(s.opt.Log, slog.String("stream", l.key), slog.Int64("records", lost.Records),
		slog.Int64("bytes", lost.Bytes))
	if s.opt.Evicted != nil {
		s.opt.Evicted(l, lost)
	}
}
