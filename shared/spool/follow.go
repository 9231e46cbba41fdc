// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/notice"
)

// racyTime is how old the last change of a directory or file must be for its time of change to tell of later ones, given
// that file systems take it from a clock that ticks.
const racyTime = time.Second

// followed is what a reader knows of a log that another process writes. Under maintMu.
type followed struct {
	on              bool
	dirTime, lossed time.Time // when the directory and the losses had changed last, as of the last listing
}

// Follow opens a log that another process writes, to read it from the views' checkpoints on. Refresh finds what was
// appended. Views, budgets, gaps and history are as in Resume.
func (s *Spool) Follow(key string, o LogOptions) (*Log, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	l := s.newLog(key, o)
	l.followed.on = true
	if _, err := os.Stat(l.dir); err != nil {
		return nil, fmt.Errorf("stream %s: %w", key, err)
	}
	if err := l.readGapFile(); err != nil {
		l.warn(notice.SpoolGapsDamaged, err)
	}
	l.takeOver()
	if err := s.add(l); err != nil {
		return nil, err
	}
	if l.historyOnly = l.hasMarker(deliveredName); l.historyOnly {
		l.views = nil
	}
	if err := l.Refresh(); err != nil {
		l.addStored(-l.stored.Load()) // it is tried again, and must not count each time
		s.remove(l)
		return nil, fmt.Errorf("stream %s: %w", key, err)
	}
	for _, v := range l.views {
		v.fillHoles(*l.segments.Load(), l.end.Load())
	}
	l.endedAt = l.markedAt()
	l.wakeMaintenance()
	return l, nil
}

// Refresh finds what the log's writer has appended since it was called last. It costs two calls of stat where that is
// nothing. Any goroutine may call it, some times a second.
func (l *Log) Refresh() error {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.removed || l.ended.Load() {
		return nil
	}
	ended := l.historyOnly || l.hasMarker(endedName) // first: the listing below then finds everything
	dir, err := os.Stat(l.dir)
	if err != nil {
		return err
	}
	last := max(len(*l.segments.Load())-1, 0)
	if !dir.ModTime().Equal(l.followed.dirTime) || time.Since(dir.ModTime()) < racyTime || ended {
		if err := l.list(); err != nil {
			return err
		}
		l.followed.dirTime = dir.ModTime()
	}
	if err := l.grow(last); err != nil {
		return err
	}
	if err := l.refreshLosses(); err != nil {
		return err
	}
	end := l.end.Load()
	if segs := *l.segments.Load(); len(segs) > 0 {
		end = max(end, segs[len(segs)-1].end())
	}
	if gaps := *l.sharedGaps.Load(); len(gaps) > 0 {
		end = max(end, gaps[len(gaps)-1].to)
	}
	l.end.Store(end)
	if ended {
		l.endedAt = l.markedAt()
		l.ended.Store(true)
		l.wakeMaintenance()
	}
	return nil
}

// list takes in segments that the writer has made. Under maintMu.
func (l *Log) list() error {
	found, err := l.spool.findSegments(l.dir)
	if err != nil {
		return err
	}
	last := int64(-1)
	if segs := *l.segments.Load(); len(segs) > 0 {
		last = segs[len(segs)-1].base
	}
	for _, g := range found {
		if g.base > last {
			g.indexed = l.opt.Raw
			l.addStored(roundUp(g.size.Load()))
			l.addSegment(g)
		}
	}
	return nil
}

// grow takes in what the writer has appended to segments from the one with that index on, which was the last one when they
// were looked at last: those before it were full. One that has gone before anything was in it does not count: the writer had
// no room for it. Under maintMu.
func (l *Log) grow(from int) error {
	for _, g := range (*l.segments.Load())[from:] {
		st, err := os.Stat(g.name)
		if missing(err) && g.size.Load() == 0 {
			l.removeSegment(g)
			continue
		}
		if err != nil {
			return err
		}
		if old := g.size.Load(); st.Size() > old {
			l.addStored(roundUp(st.Size()) - roundUp(old))
			g.size.Store(st.Size())
		}
	}
	return nil
}

// refreshLosses reads what the writer could not store, where that has changed. A loss at the end of the log may still
// grow: it is left out until the writer has gone on behind it, or has ended. Under maintMu.
func (l *Log) refreshLosses() error {
	st, err := os.Stat(filepath.Join(l.dir, lossesName))
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.ModTime().Equal(l.followed.lossed) && time.Since(st.ModTime()) >= racyTime && !l.hasMarker(endedName) {
		return nil
	}
	known := *l.sharedGaps.Load()
	if err := l.readLosses(); err != nil {
		if !errors.Is(err, errDamaged) || l.spool.Written(l.key) {
			return err // it is being written
		}
		l.warn(notice.SpoolGapsDamaged, err)
		l.followed.lossed = st.ModTime()
		return nil
	}
	l.followed.lossed = st.ModTime()
	gaps := *l.sharedGaps.Load()
	segs := *l.segments.Load()
	if n := len(gaps); n > 0 && !l.hasMarker(endedName) && (len(segs) == 0 || segs[len(segs)-1].base < gaps[n-1].to) {
		gaps = gaps[:n-1]
		l.followed.lossed = time.Time{} // to be read again, though the file may not change
	}
	gaps = append(forgotten(known, gaps), gaps...)
	l.sharedGaps.Store(&gaps)
	l.dropPassedGaps()
	return nil
}

// forgotten are the gaps that are known and that the writer does not list any more, because they lie before all that it
// lists.
func forgotten(known, listed []gap) []gap {
	if len(listed) == 0 {
		return slices.Clone(known)
	}
	n := 0
	for n < len(known) && known[n].to <= listed[0].from {
		n++
	}
	return slices.Clone(known[:n])
}
