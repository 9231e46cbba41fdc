// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"maps"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
)

// reap takes leave of the views that the pipeline has let go of.
func (t *Tailer) reap() {
	for f := range t.concerned() {
		if !slices.ContainsFunc(f.views, func(v *view) bool { return v.done.Load() }) {
			continue
		}
		f.mu.Lock()
		f.known = *f.furthest()
		var rest []*view
		for _, v := range f.views {
			if !v.done.Load() {
				rest = append(rest, v)
				continue
			}
			off := v.released.Load()
			if at := v.ended.Load(); at >= 0 && !v.dropped.Load() {
				off = at // all of it was acknowledged, or was said to be lost
			}
			f.setAcked(acked{v.id, off, v.last})
		}
		f.views = rest
		f.mu.Unlock()
	}
}

// settle takes each file one step further through its life.
func (t *Tailer) settle(now time.Time) {
	t.saveAll()
	if t.scanned.Equal(now) {
		t.retire(now)
	}
	for f := range t.active {
		switch {
		case f.state == rotated && f.links == 0 && len(f.views) == 0 && f.unreadNow() == 0:
			t.fade(f, now, removed)
			continue
		case f.state == rotated && f.links == 0 && f.body == nil:
			t.fade(f, now, removed)
			continue
		case f.state == rotated && now.Sub(later(f.changed, f.since)) >= quietFor:
			f.setEnding(true)
		case f.state == live && now.Sub(f.changed) >= restAfter && f.release() == f.end.Load():
			f.letGo(func(*view) bool { return true })
		}
		t.attach(f)
		if f.idle(now) {
			delete(t.active, f)
		}
	}
	t.limit(now)
	if t.scanned.Equal(now) {
		t.reclaim(now)
	}
	t.forget(now)
}

// idle tells whether nothing is to be done about f until something happens to it.
func (f *file) idle(now time.Time) bool {
	return len(f.views)+len(f.unsaved) == 0 && !f.remark && (f.state == live || f.links > 0) &&
		now.Sub(f.changed) >= busyFor && f.release() == f.end.Load()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// setEnding tells the views whether what is there is all there will be.
func (f *file) setEnding(ending bool) {
	for _, v := range f.views {
		v.ending.Store(ending)
	}
}

// letGo asks the pipeline to let go of some views. They may be attached again later.
func (f *file) letGo(some func(*view) bool) {
	for _, v := range f.views {
		if some(v) && !v.dropped.Swap(true) {
			v.detach()
		}
	}
}

// fade takes leave of a file whose bytes are not where they were. It is still known by its content for a while; what is
// unread of it is looked for in copies.
func (t *Tailer) fade(f *file, now time.Time, why string) {
	if f.state == fading {
		return
	}
	f.close()
	delete(t.files, f.inode)
	delete(t.active, f)
	f.state, f.since, f.why = fading, now, why
	t.faded = append(t.faded, f)
	// A line that was read but has not ended yet is not acknowledged; its end may be found too.
	open := f.release() < f.end.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limbo = f.lost == "" && open; !f.limbo {
		f.lose(why)
	}
}

// attach hands the pipeline a view for each of a file's declarations and outputs that has something to read.
func (t *Tailer) attach(f *file) {
	for _, w := range f.watches {
		for _, o := range w.Outputs {
			id := viewID{w.Name, o}
			if a, ok := f.ackedOf(id); ok && a.off < f.end.Load() && f.view(id) == nil {
				if err := t.attachView(f, w, a); err != nil {
					t.trouble.note(f.path, err)
				}
			}
		}
	}
}

func (t *Tailer) attachView(f *file, w *Watch, from acked) error {
	v := &view{file: f, id: from.id, read: from.off, proof: f.known, last: from.mark}
	v.released.Store(from.off)
	v.ended.Store(-1)
	v.ending.Store(t.draining)
	f.mu.RLock()
	if m, err := f.mark(from.off); err == nil {
		v.last = m.encode()
	}
	f.mu.RUnlock()
	var err error
	v.detach, err = w.Attach(v, f.path, from.id.output, func() {
		v.done.Store(true)
		t.nudge()
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = slices.DeleteFunc(f.acked, func(a acked) bool { return a.id == from.id })
	f.views = append(f.views, v)
	return nil
}

// saveAll records, before a byte of them is delivered, which files are which streams. It is one commit however many
// they are. While the store can't be written, or a file not be read, the files are read all the same: after a restart
// they would be delivered again, but not lost. It is tried again until it succeeds.
func (t *Tailer) saveAll() {
	put := map[checkpoint.Key]checkpoint.Entry{}
	saved := map[*file][]viewID{} // and what could not be recorded of each
	var failed error
	for f := range t.active {
		all := f.remark && len(f.views) == 0
		if f.state == fading || len(f.unsaved) == 0 && !all {
			continue
		}
		var missed []viewID
		for _, a := range slices.Clone(f.acked) {
			if !all && !slices.Contains(f.unsaved, a.id) {
				continue
			}
			if f.body == nil && !f.packed {
				f.wanted.Store(true) // the mark is made of its bytes
				missed = append(missed, a.id)
			} else if err := t.record(put, f, a); err != nil {
				missed = append(missed, a.id)
				if failed == nil || err.Error() < failed.Error() { // always the same one of several
					failed = err
				}
			}
		}
		saved[f] = missed
	}
	if len(saved) == 0 {
		return
	}
	if err := t.cfg.Store.Commit(put, nil); err != nil {
		t.trouble.note("checkpoints", err)
		return
	}
	if failed != nil {
		t.trouble.note("checkpoints", failed)
	} else {
		t.trouble.clear("checkpoints")
	}
	for f, missed := range saved {
		f.remark = f.remark && len(f.views)+len(missed) > 0
		f.unsaved = missed
	}
}

// record adds the entry of a view that is not attached: nobody else writes it. A position that is there already stays.
func (t *Tailer) record(put map[checkpoint.Key]checkpoint.Entry, f *file, a acked) error {
	key := f.keyOf(a.id)
	e, ok, err := t.cfg.Store.Load(key)
	if err != nil {
		return err
	}
	if !ok {
		e.Position = checkpoint.Position{Low: a.off, Done: a.off}
	}
	f.mu.RLock()
	m, err := f.mark(e.Low)
	f.mu.RUnlock()
	if err != nil {
		return err
	}
	e.Mark = m.encode()
	put[key] = e
	a.mark = e.Mark
	f.setAcked(a)
	return nil
}

func (f *file) keyOf(id viewID) checkpoint.Key {
	return checkpoint.Key{Stream: f.key, Declaration: id.declaration, Output: id.output}
}

// forget drops what is gone for long enough: what could still be told from it is told.
func (t *Tailer) forget(now time.Time) {
	var keys []checkpoint.Key
	gone := map[*file]bool{}
	for _, f := range t.faded {
		if f.limbo && (t.draining || now.Sub(f.since) >= searchFor) {
			t.lose(f, now, f.why)
		}
		if len(f.views) > 0 || now.Sub(f.since) < rememberFor {
			continue
		}
		gone[f] = true
		for _, a := range f.acked {
			keys = append(keys, f.keyOf(a.id))
		}
	}
	var unmet []*memory
	for _, m := range t.past.streams {
		if t.overdue(m, now) {
			unmet = append(unmet, m)
			keys = append(keys, m.keys()...)
		}
	}
	if len(keys) == 0 && len(gone) == 0 {
		return
	}
	if err := t.cfg.Store.Commit(nil, keys); err != nil {
		t.trouble.note("checkpoints", err)
		return
	}
	t.trouble.clear("checkpoints")
	t.faded = slices.DeleteFunc(t.faded, func(f *file) bool { return gone[f] })
	t.disinherit(gone)
	for _, m := range unmet {
		t.past.forget(m)
		if lost := m.mark.size - m.mark.off; lost > 0 && !m.mark.packed {
			t.counts.Lost += lost
			t.log.Error("bytes of a file are lost", "file", m.mark.path, "bytes", lost,
				"why", "truncated or removed while the sidecar was not running")
		}
	}
}

// overdue tells whether a stream of before the start was looked for long enough: a volume may be mounted late.
func (t *Tailer) overdue(m *memory, now time.Time) bool {
	for _, w := range t.watches {
		if w.started && now.Sub(w.began) >= rememberFor && w.selects(m.mark.path) &&
			slices.ContainsFunc(m.acked, func(a acked) bool { return a.id.declaration == w.Name }) {
			return true
		}
	}
	return false
}

// disinherit forgets the names of files that are forgotten.
func (t *Tailer) disinherit(gone map[*file]bool) {
	for _, v := range t.volumes {
		for _, l := range v.dirs {
			maps.DeleteFunc(l.heirs, func(_ string, f *file) bool { return gone[f] })
		}
	}
}
