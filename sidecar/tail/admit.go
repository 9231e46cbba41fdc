package tail

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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

// recallAll goes on with those of what was found that are streams of before the start.
func (t *Tailer) recallAll(now time.Time) {
	for id, d := range t.fresh {
		if len(t.past.inodes[id]) == 0 || t.held[id] != nil {
			continue
		}
		a, err := t.arrive(d, now)
		if a == nil || err != nil {
			continue // admit tries again, and says why not
		}
		m, err := t.past.recall(a.stat, a.body, a.packed)
		if m == nil {
			if err != nil {
				t.trouble.note(a.path(), err)
			}
			_ = a.body.Close() // opened for reading
			continue
		}
		t.resume(m, a, now)
		delete(t.fresh, id)
	}
}

// recallRenamed looks for files that were rotated while the sidecar was down: under any name in their directory and the
// ones below it.
func (t *Tailer) recallRenamed(begun []*Watch, now time.Time) {
	selected := t.fresh
	t.fresh = map[inode]*found{}
	seen, volumes := map[string]bool{}, map[*volume]bool{}
	for _, m := range t.past.streams {
		v, dir, watches := t.placeOf(m, begun)
		if v == nil {
			continue
		}
		volumes[v] = true
		inherit(v, m.rel(v), &file{stat: stat{btime: m.mark.btime, mtime: m.mark.mtime}, watches: watches})
		if seen[v.base+"\x00"+dir] {
			continue
		}
		seen[v.base+"\x00"+dir] = true
		for rel, s := range t.censusBelow(v, dir) {
			if len(t.past.inodes[s.inode]) > 0 && t.files[s.inode] == nil && selected[s.inode] == nil {
				t.fresh[s.inode] = &found{stat: s, volume: v, rel: rel, watches: watches, kin: true}
			}
		}
	}
	t.recallAll(now)
	for _, m := range t.past.streams {
		if d := t.fresh[m.mark.id]; d != nil && m.replaced { // truncated, and then renamed
			selected[m.mark.id] = d
		}
	}
	t.fresh = selected
	for v := range volumes { // successors of those may have been rotated too
		t.kin(v)
	}
}

// placeOf is where the stream was last: its volume, its directory there, and those of begun that follow it. v is nil if
// that is none of theirs.
func (t *Tailer) placeOf(m *memory, begun []*Watch) (v *volume, dir string, watches []*Watch) {
	for _, w := range begun {
		if !slices.ContainsFunc(m.acked, func(a acked) bool { return a.id.declaration == w.Name }) {
			continue
		}
		if strings.HasPrefix(m.mark.path, strings.TrimSuffix(w.glob.base, "/")+"/") && t.volumes[w.glob.base].root != nil {
			v = t.volumes[w.glob.base]
			watches = append(watches, w)
		}
	}
	if v != nil {
		dir = path.Dir(m.rel(v))
	}
	return v, dir, watches
}

func (m *memory) rel(v *volume) string {
	return strings.TrimPrefix(m.mark.path, strings.TrimSuffix(v.base, "/")+"/")
}

// resume goes on with a stream of before the start.
func (t *Tailer) resume(m *memory, a *arrival, now time.Time) {
	f := t.place(&file{}, a, now)
	if err := m.file(f); err != nil {
		t.trouble.note(a.path(), err)
	}
	t.past.forget(m)
	t.grown(f)
	t.enrollAll(f, a, now)
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

// openWithin opens a file, having closed others if there are too many.
func (t *Tailer) openWithin(v *volume, rel string, now time.Time) (*os.File, stat, error) {
	if v.root == nil {
		return nil, stat{}, os.ErrNotExist
	}
	if t.opens++; t.opens >= t.cfg.MaxOpen {
		if t.opens = t.opened(); t.opens >= t.cfg.MaxOpen {
			t.saveAll() // a file that is not recorded yet can't be closed
			t.relieve()
			t.opens = t.opened()
		}
	}
	h, s, err := t.open(v, rel)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		t.relieve()
		h, s, err = t.open(v, rel)
	}
	return h, s, err
}
