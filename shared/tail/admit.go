// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// arrival is a file that was found, is open, and whose stream is still to be determined. While something may still be
// writing a copy it is held: what it is can be told once it is complete.
type arrival struct {
	found
	body     content
	packed   bool
	expanded int64 // its size, or what it expands to by its trailer
	grew     time.Time
	waits    bool // it holds what another file holds that is not read yet
}

// admit determines which stream each file is that was found: one of before the start, the place that a known one's
// bytes were copied to, or a new one. begun are the declarations whose files were looked for for the first time.
func (t *Tailer) admit(now time.Time, begun []*Watch) {
	t.recallAll(now)
	if len(begun) > 0 {
		t.recallRenamed(begun, now)
	}
	for id, a := range maps.Clone(t.held) {
		if s, err := statOpen(a.body); err == nil && (s.size != a.size || s.mtime != a.mtime) {
			a.stat, a.grew = s, now
			a.measure()
		}
		if d := t.fresh[id]; d != nil {
			a.volume, a.rel, a.watches, a.kin = d.volume, d.rel, d.watches, d.kin
			delete(t.fresh, id)
		}
		t.determine(a, begun, now)
	}
	found := slices.SortedFunc(maps.Values(t.fresh), func(a, b *found) int { return strings.Compare(a.path(), b.path()) })
	for _, d := range found {
		a, err := t.arrive(d, now)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.trouble.note(d.path(), err)
		}
		if a != nil {
			t.trouble.clear(d.path())
			t.determine(a, begun, now)
		}
	}
	t.searchCopies(begun, now)
}

func (t *Tailer) determine(a *arrival, begun []*Watch, now time.Time) {
	a.waits = false
	original := a.original()
	if original != nil && t.files[original.inode] == original { // it may have been truncated since the last look
		if err := t.look(original, now); err != nil {
			t.trouble.note(original.name(), err)
		}
	}
	switch {
	case t.adopt(a, now):
	case t.hold(a, begun, now):
		t.held[a.inode] = a
		return
	case a.kin && original != nil && begins(original, a):
		_ = a.body.Close() // opened for reading; a copy that nobody declared
	default:
		t.begin(a, now)
	}
	delete(t.held, a.inode)
}

// arrive opens a file. It may be another one than was found, or one that is known: it is then left to the next scan.
func (t *Tailer) arrive(d *found, now time.Time) (*arrival, error) {
	h, s, err := t.openWithin(d.volume, d.rel, now)
	if err != nil {
		return nil, err
	}
	if s.inode != d.inode || t.files[s.inode] != nil {
		return nil, h.Close()
	}
	a := &arrival{found: *d, body: h, grew: now}
	a.stat = s
	a.measure()
	return a, nil
}

// measure finds out whether the file is compressed, and how much it holds.
func (a *arrival) measure() {
	a.expanded = a.size
	h, plain := a.body.(*os.File)
	if g, ok := a.body.(*gunzip); ok {
		h = g.file
	} else if !plain {
		return
	}
	if !strings.HasSuffix(a.rel, ".gz") {
		return
	}
	if g, size, err := openGunzip(h, a.size); err == nil {
		a.body, a.packed, a.expanded = g, true, max(size, 1)
	}
}

// place makes f the file that a is. Its stream is not touched.
func (t *Tailer) place(f *file, a *arrival, now time.Time) *file {
	f.stat, f.volume, f.rel, f.packed = a.stat, a.volume, a.rel, a.packed
	f.changed, f.since, f.state = now, now, live
	f.wake = t.nudge
	if a.kin {
		f.state = rotated
	} else {
		f.seen = t.scans
		inherit(a.volume, a.rel, f)
	}
	f.mu.Lock()
	f.body, f.limbo, f.lost = a.body, false, ""
	f.gone.Store(false)
	f.end.Store(a.expanded)
	f.mu.Unlock()
	t.files[a.inode] = f
	t.rouse(f)
	return f
}

func (t *Tailer) enrollAll(f *file, a *arrival, now time.Time) {
	for _, w := range a.watches {
		t.enroll(f, w, now)
	}
}

// grown makes the head of a file cover what it holds by now.
func (t *Tailer) grown(f *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.grow(); err != nil {
		t.trouble.note(f.name(), err)
	}
}

// begin makes a new stream of a file.
func (t *Tailer) begin(a *arrival, now time.Time) *file {
	f := t.place(&file{key: newKey(a.inode, now), path: a.path()}, a, now)
	if a.kin { // records name the file that was declared
		f.path = a.declaredAs()
	}
	t.counts.Generations++
	t.grown(f)
	t.enrollAll(f, a, now)
	return f
}

// declaredAs is the name that a rotated file must have had: without what the rotation put behind it.
func (d *found) declaredAs() string {
	name := d.path()
	for i := len(name); i > 0; i-- {
		if rotatedName(path.Base(name[:i]), path.Base(name)) && !strings.HasSuffix(name[:i], "/") {
			if c := name[i-1]; (c < '0' || c > '9') && !strings.ContainsRune(".-_", rune(c)) {
				return name[:i]
			}
		}
	}
	return name
}

// hold tells whether a must be left alone for now, because it may be a copy that somebody is making of a
// file that is followed.
func (t *Tailer) hold(a *arrival, begun []*Watch, now time.Time) bool {
	if a.waits {
		return true
	}
	since := now.Sub(a.grew)
	if t.draining || since >= copyPause || since < 0 {
		return false
	}
	if strings.HasSuffix(a.rel, ".gz") {
		return true
	}
	for _, w := range a.watches {
		if slices.Contains(begun, w) {
			return false
		}
	}
	f := a.original()
	return f != nil && begins(f, a)
}
