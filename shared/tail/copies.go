// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"path"
	"slices"
	"time"
)

// consume makes a a stream that is read already: its bytes are those of another one.
func (t *Tailer) consume(a *arrival, now time.Time) {
	if a.kin {
		_ = a.body.Close() // opened for reading
		return
	}
	f := t.begin(a, now)
	t.counts.Copies++
	for i := range f.acked {
		f.acked[i].off = f.end.Load()
	}
}

// original is the file that a may be a copy of, by their names; nil if there is none.
func (a *arrival) original() *file {
	l := a.volume.dirs[path.Dir(a.rel)]
	if l == nil {
		return nil
	}
	if f := l.originalOf(path.Base(a.rel)); f != nil && f.inode != a.inode {
		return f
	}
	return nil
}

// begins tells whether all of a is the beginning of f.
func begins(f *file, a *arrival) bool {
	if f.packed || f.body == nil || a.size == 0 || a.size > f.end.Load() {
		return false
	}
	const part = 32 << 10
	var p, q [part]byte
	for _, at := range [...]int64{0, max(0, a.size-part)} {
		n, _ := a.body.ReadAt(p[:], at) // what can't be read is no copy
		m, _ := f.body.ReadAt(q[:n], at)
		if n == 0 || !bytes.Equal(p[:n], q[:m]) {
			return false
		}
	}
	return true
}

// adopt tells whether a is where the bytes of a known stream have gone, and makes it so.
func (t *Tailer) adopt(a *arrival, now time.Time) bool {
	if a.packed && now.Sub(a.grew) < copyPause && !t.draining {
		return false // incomplete, perhaps
	}
	for _, f := range t.faded {
		if f.volume == a.volume && t.isCopy(f, a) {
			t.move(f, a, now)
			return true
		}
	}
	for _, m := range t.past.streams {
		if m.copiedTo(a) {
			f := t.place(&file{remark: true}, a, now)
			f.key, f.path, f.head, f.acked = m.key, m.mark.path, m.mark.head, slices.Clone(m.acked)
			t.past.forget(m)
			t.counts.Copies++
			t.learn(f, m.mark.off)
			t.enrollAll(f, a, now)
			return true
		}
	}
	if !a.packed {
		return false
	}
	for _, f := range t.files {
		if !f.packed && f.volume == a.volume && related(f.rel, a.rel) && f.end.Load() == a.expanded && t.isCopy(f, a) {
			switch {
			case f.body == nil && !f.inPlace(): // only this is left of it
				t.fade(f, now, removed)
				t.move(f, a, now)
			case f.release() < f.end.Load(): // it will be, if the sidecar is killed before all of f is acknowledged
				a.waits = true
				return false
			default:
				t.consume(a, now)
			}
			return true
		}
	}
	return false
}

// mayHold tells whether, by its name, a may hold what the file at name held. Of a file that was not truncated, but is
// gone, a copy that is not compressed has to have the name of its rotation: it may be a log of its own that only began
// alike.
func (a *arrival) mayHold(name string, truncated bool) bool {
	return name != a.path() && related(name, a.rel) &&
		(a.packed || truncated || rotatedName(path.Base(name), path.Base(a.rel)))
}

// isCopy tells whether a begins with all that was read of f. What nothing is known of has no copy.
func (t *Tailer) isCopy(f *file, a *arrival) bool {
	if f.state == fading && !a.mayHold(f.name(), f.why == truncated) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head.n == 0 {
		return false
	}
	same, err := f.provenBy(a.body, a.expanded)
	return err == nil && same
}

func (m *memory) copiedTo(a *arrival) bool {
	if m.mark.packed || m.mark.head.n == 0 || a.expanded < m.mark.off || !a.mayHold(m.mark.path, m.replaced) {
		return false
	}
	same, err := m.mark.holds(a.body)
	return err == nil && same
}

// learn sets what is known of a file up to off.
func (t *Tailer) learn(f *file, off int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := proofAt(f.body, off)
	if err != nil {
		t.trouble.note(f.name(), err)
		return
	}
	f.known = p
}

// move goes on with f's stream in a, which holds all that was read of it.
func (t *Tailer) move(f *file, a *arrival, now time.Time) {
	t.log.Info("what was not read of a file is read from its copy", "file", f.path, "copy", a.path())
	t.faded = slices.DeleteFunc(t.faded, func(o *file) bool { return o == f })
	t.counts.Copies++
	f.remark = true
	for _, v := range f.views {
		v.ending.Store(false)
	}
	t.place(f, a, now)
	t.enrollAll(f, a, now)
}

// searchCopies looks for the bytes of truncated files, and of those that are not where they were before the start, in
// files that no pattern selects.
func (t *Tailer) searchCopies(begun []*Watch, now time.Time) {
	for _, f := range slices.Clone(t.faded) {
		if (f.limbo || f.why == truncated && now.Sub(f.since) < searchFor) && f.volume.root != nil {
			t.searchIn(f.volume, path.Dir(f.rel), f.watches, now, func(a *arrival) bool { return t.isCopy(f, a) })
		}
	}
	for _, m := range slices.Clone(t.past.streams) {
		if v, dir, watches := t.placeOf(m, begun); v != nil && !m.met && m.mark.head.n > 0 {
			t.searchIn(v, dir, watches, now, m.copiedTo)
		}
	}
}

func (t *Tailer) searchIn(v *volume, dir string, watches []*Watch, now time.Time, is func(*arrival) bool) {
	for rel, s := range t.census(v, dir) {
		if t.files[s.inode] != nil || t.held[s.inode] != nil || t.fresh[s.inode] != nil {
			continue
		}
		a, err := t.arrive(&found{stat: s, volume: v, rel: rel, watches: watches, kin: true}, now)
		if a == nil || err != nil {
			continue
		}
		a.grew = time.Time{} // it is not being written: what it was made from is gone
		if is(a) && t.adopt(a, now) {
			return
		}
		_ = a.body.Close() // opened for reading
	}
}
