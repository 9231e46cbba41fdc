// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"path"
	"slices"
	"strings"
	"time"
)

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
		m, err := t.past.recall(a)
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
		if d := t.fresh[m.mark.id]; d != nil && m.replaced && m.renamedTo(d) { // truncated, and then renamed
			selected[m.mark.id] = d
		}
	}
	t.fresh = selected
	for v := range volumes { // successors of those may have been rotated too
		t.kin(v)
	}
}

// renamedTo tells whether d, which has m's inode, is m's file still, rather than one that was given the number later: by
// its birth, or where that is not known, by its name.
func (m *memory) renamedTo(d *found) bool {
	return m.mark.btime != 0 && m.mark.btime == d.btime || mayBecome(m.mark.path, d.path())
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
