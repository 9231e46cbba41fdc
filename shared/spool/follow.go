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

// racyTime is how old a directory's or file's modification time must be before an unchanged time proves that nothing has changed
// since. File systems take it from a coarse clock.
const racyTime = time.Second

// followed is what a reader knows about a log that another process writes. Log.maintMu guards it.
type followed struct {
	on              bool
	dirTime, lossed time.Time // modification times of the directory and of losses when they were last read
}

// Follow opens a log that another process writes, to read it from the views' checkpoints on. Refresh finds what is appended.
// Views, budgets, gaps and history work as in Resume.
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
		l.addStored(-l.stored.Load()) // the caller tries again, and each attempt counts it
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

// Refresh finds what the log's writer has appended since the last call. If that is nothing, it costs a few calls of stat. It may
// be called from any goroutine, some times a second.
func (l *Log) Refresh() error {
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if l.removed || l.ended.Load() {
		return nil
	}
	ended := l.historyOnly || l.hasMarker(endedName) // first, so that the listing below then finds everything
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

// list adds the segments that the writer has created since the last listing. The caller holds l.maintMu.
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

// grow updates the sizes of the segments from index from on. That one was the last when the writer was followed last, so those
// before it are full. It drops an empty segment whose file is gone: the writer had no room for it. The caller holds l.maintMu.
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

// refreshLosses reads the writer's losses if they have changed. A loss at the end of the log may still grow: it is left out until
// the writer has stored something after it, or has ended. The caller holds l.maintMu.
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
			return err // the file is being written
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
		l.followed.lossed = time.Time{} // read the file again, even if it does not change
	}
	gaps = append(forgotten(known, gaps), gaps...)
	l.sharedGaps.Store(&gaps)
	l.dropPassedGaps()
	return nil
}

// forgotten returns the known gaps that the writer no longer lists, because they lie before all that it lists.
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
