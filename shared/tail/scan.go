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

	"golang.org/x/sys/unix"
)

// found is a file that no stream is known for yet.
type found struct {
	stat
	volume  *volume
	rel     string
	watches []*Watch
	// kin is set where no pattern selects the file, but it must be what a followed one was rotated or copied to.
	kin bool
}

func (d *found) path() string { return path.Join(d.volume.base, d.rel) }

// scan looks for files: new ones, and those that have another name than before, or none.
func (t *Tailer) scan(now time.Time) {
	t.scans++
	t.scanned = now
	clear(t.fresh)
	if t.scans%rereadEvery == 0 {
		t.hints.reset()
	}
	for _, v := range t.volumes {
		if err := v.reopen(); err != nil {
			t.trouble.note(v.base, err)
		} else {
			t.trouble.clear(v.base)
		}
	}
	var begun []*Watch
	for _, w := range t.watches {
		v := t.volumes[w.glob.base]
		if v.root == nil {
			continue
		}
		err := v.walk(w, t.scans, func(c *candidate) { t.visit(w, v, c, now) }, func(rel string) { t.hints.watch(path.Join(v.base, rel)) })
		var refused *errRefused
		if err != nil && !errors.As(err, &refused) && errors.Is(err, unix.EMFILE) {
			t.relieve()
		}
		if err != nil {
			t.trouble.note(w.String(), err)
		} else {
			t.trouble.clear(w.String())
			if !w.started {
				begun = append(begun, w)
			}
		}
	}
	t.rotations(now)
	t.lookMoved(now)
	for _, v := range t.volumes {
		t.kin(v)
	}
	t.admit(now, begun)
	for _, w := range begun {
		w.started, w.began = true, now
	}
}

// visit takes note of a name that w selects.
func (t *Tailer) visit(w *Watch, v *volume, c *candidate, now time.Time) {
	if f := c.file; f != nil && !c.pending && t.files[f.inode] == f {
		t.sees(f, w, v, c.rel, now)
		return
	}
	c.file, c.pending = nil, true
	name := path.Join(v.base, c.rel)
	if excluded(w.Exclude, name) {
		return
	}
	s, err := v.lstat(c.rel)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	link := err == nil && s.symlink()
	if link {
		s, err = v.follow(c.rel)
	}
	switch {
	case link && errors.Is(err, os.ErrNotExist):
		return // leads nowhere, for now
	case err != nil:
		t.trouble.note(name, err)
		return
	case s.mode&unix.S_IFMT == unix.S_IFDIR:
		return
	case !s.regular():
		t.trouble.note(name, &errRefused{"it is " + s.kind()})
		return
	}
	if f := t.files[s.inode]; f != nil {
		t.trouble.clear(name)
		c.file, c.pending = f, link
		t.sees(f, w, v, c.rel, now)
		return
	}
	d := t.fresh[s.inode]
	if d == nil {
		d = &found{stat: s, volume: v, rel: c.rel}
		t.fresh[s.inode] = d
	}
	if !slices.Contains(d.watches, w) {
		d.watches = append(d.watches, w)
	}
}

// sees notes that w selects f under the name rel.
func (t *Tailer) sees(f *file, w *Watch, v *volume, rel string, now time.Time) {
	if f.seen != t.scans {
		f.seen = t.scans
		if f.rel != rel || f.volume != v {
			f.movedTo(v, rel)
		}
	}
	if f.state == rotated {
		f.state, f.since = live, now
		t.rouse(f)
		for _, view := range f.views {
			view.ending.Store(false)
		}
	}
	if f.moved() {
		f.claims = append(f.claims, w)
		return
	}
	t.enroll(f, w, now)
}

// enroll makes f one of w's files. Each of w's views begins at the file's start, unless what is there is to be skipped.
func (t *Tailer) enroll(f *file, w *Watch, now time.Time) {
	if !slices.Contains(f.watches, w) {
		f.watches = append(f.watches, w)
	} else if len(f.views)+len(f.acked) >= len(w.Outputs)*len(f.watches) {
		return // the usual case, at each scan for each file
	}
	for _, o := range w.Outputs {
		id := viewID{w.Name, o}
		if _, ok := f.ackedOf(id); ok || f.view(id) != nil {
			continue
		}
		old := w.IgnoreOlder > 0 && now.Sub(time.Unix(0, f.mtime)) > w.IgnoreOlder
		start := int64(0)
		if old || w.FromEnd && w.newborn && !w.started {
			start = lastLine(f)
		}
		f.setAcked(acked{id: id, off: start})
		f.unsaved = append(f.unsaved, id)
		t.rouse(f)
	}
}

// lastLine is where the last line of the file begins that is not ended yet, the end of the file if all are. A line that
// is longer than this looks back is skipped to the file's end.
func lastLine(f *file) int64 {
	const lookBack = 64 << 10
	end := f.end.Load()
	if f.packed || f.body == nil || end == 0 {
		return end
	}
	from := max(end-lookBack, 0)
	buf := make([]byte, end-from)
	n, err := f.body.ReadAt(buf, from)
	if n < len(buf) && err != nil {
		return end
	}
	if i := strings.LastIndexByte(string(buf), '\n'); i >= 0 {
		return from + int64(i) + 1
	}
	if from == 0 {
		return 0
	}
	return end
}

// rotations notices which files no pattern selects any more, and finds out where they are.
func (t *Tailer) rotations(now time.Time) {
	for _, f := range t.files {
		if f.state == live && f.seen != t.scans {
			f.state, f.since = rotated, now
			t.counts.Rotations++
			t.rouse(f)
		}
		if f.state == rotated {
			t.locate(f, now)
		}
	}
}

// lookMoved looks at files that were found under another name: it can be told now whether they still hold what they
// did, and it has to be, before what may be their copies is judged.
func (t *Tailer) lookMoved(now time.Time) {
	for _, f := range slices.Collect(maps.Values(t.files)) {
		if !f.moved() {
			continue
		}
		if err := t.look(f, now); err != nil {
			t.trouble.note(f.name(), err)
		}
		if !f.moved() {
			continue // it was another file
		}
		if f.state == live {
			inherit(f.volume, f.rel, f)
		}
		for _, w := range f.claims {
			t.enroll(f, w, now)
		}
		f.was, f.claims = place{}, nil
	}
}

// locate finds the name of a file that was renamed to one that no pattern selects. One that has neither a name nor an
// open handle fades.
func (t *Tailer) locate(f *file, now time.Time) {
	if f.volume.root == nil || f.links == 0 || f.rel == "" {
		return
	}
	if f.inPlace() {
		return
	}
	l, err := f.volume.list(path.Dir(f.rel), t.scans)
	if err != nil || f.located == l.version {
		return
	}
	f.located = l.version
	for name, s := range t.census(f.volume, path.Dir(f.rel)) {
		if s.inode == f.inode {
			f.movedTo(f.volume, name)
			return
		}
	}
	if f.body == nil { // as far as can be told; it has to be known before what may be its copy is taken for a new file
		t.fade(f, now, removed)
	}
}

// inPlace tells whether the name that f had last leads to it.
func (f *file) inPlace() bool {
	if f.volume.root == nil || f.rel == "" {
		return false
	}
	s, err := f.volume.lstat(f.rel)
	return err == nil && s.inode == f.inode
}

// census asks for every regular file in a directory, by its path below the volume's base.
func (t *Tailer) census(v *volume, dir string) map[string]stat {
	d, err := v.openDir(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	all := map[string]stat{}
	entries, _ := d.ReadDir(-1) // as many as can be read
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if s, err := statOf(int(d.Fd()), e.Name()); err == nil && s.regular() {
			all[path.Join(dir, e.Name())] = s
		}
	}
	return all
}

// censusBelow is census of dir and the directories in it.
func (t *Tailer) censusBelow(v *volume, dir string) map[string]stat {
	all := t.census(v, dir)
	l, err := v.list(dir, t.scans)
	if err != nil {
		return all
	}
	for _, e := range l.entries {
		if !e.mode.IsDir() {
			continue
		}
		for rel, s := range t.census(v, path.Join(dir, e.name)) {
			all[rel] = s
		}
	}
	return all
}
