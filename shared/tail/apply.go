// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
)

// classifyAll classifies each candidate of a scan and applies the verdicts. Stored streams come first, because other
// candidates may be copies of theirs.
func (t *Tailer) classifyAll(o *origin, now circumstances) {
	t.resumeStored(o, now)
	if len(now.started) > 0 {
		t.resumeRenamed(o, now)
	}
	for _, c := range o.candidates(now.now) {
		id := c.Inode
		if o.pending[id] != c {
			if t.open(o, c, now.now) {
				delete(o.fresh, id)
				t.decide(o, c, now)
			}
			continue
		}
		if s, err := statBody(c.body); err == nil && (s.Size != c.Size || s.ModTime != c.ModTime) {
			c.Stat, c.grew = s, now.now
			c.probe()
		}
		t.decide(o, c, now)
	}
	t.searchCopies(o, now)
}

// candidates returns the new candidates of a scan and the pending ones, in the order in which they are to be classified. A
// file that is both has one candidate, with its latest name.
func (o *origin) candidates(now time.Time) []*candidate {
	for id, c := range o.pending {
		if d := o.fresh[id]; d != nil {
			c.tree, c.rel, c.selections, c.unselected = d.tree, d.rel, d.selections, d.unselected
			delete(o.fresh, id)
		}
	}
	all := slices.AppendSeq(slices.Collect(maps.Values(o.pending)), maps.Values(o.fresh))
	slices.SortFunc(all, inOrder(now))
	return all
}

// inOrder orders candidates by modification time, so that rotated files begin before their successors. Recent files come
// last, by birth time: one may be a copy that is being made of another, and a copy is younger than its original.
func inOrder(now time.Time) func(a, b *candidate) int {
	return func(a, b *candidate) int {
		switch x, y := a.age(now) < copyPause, b.age(now) < copyPause; {
		case x && y:
			return cmp.Or(cmp.Compare(a.Birth, b.Birth), cmp.Compare(a.ModTime, b.ModTime), strings.Compare(a.path(), b.path()))
		case x:
			return 1
		case y:
			return -1
		}
		return cmp.Or(cmp.Compare(a.ModTime, b.ModTime), strings.Compare(a.path(), b.path()))
	}
}

// decide classifies a candidate that is open, and applies the verdict.
func (t *Tailer) decide(o *origin, c *candidate, now circumstances) {
	if original := o.originalOf(c); original != nil && o.byInode[original.Inode] == original { // it may have been truncated since
		if original.body == nil && now.now.Sub(c.grew) < copyPause {
			original.wanted.Store(true) // classify compares its bytes with the candidate's
		}
		if err := t.observe(o, original, now.now); err != nil {
			t.problems.report(o.problem(original.name()), err)
		}
	}
	t.apply(o, c, classify(&o.registry, c, now), now)
}

// apply carries out a verdict.
func (t *Tailer) apply(o *origin, c *candidate, v verdict, now circumstances) {
	for _, m := range v.replaced {
		m.replaced = true
	}
	if v.err != nil {
		t.problems.report(o.problem(c.path()), v.err)
	}
	t.log.Debug("file classified", "file", c.path(), "is", v.kind.String(), "reason", v.reason)
	delete(o.pending, c.Inode)
	switch v.kind {
	case isStored:
		t.resume(o, v.stored, c, now.now)
	case isStoredCopy:
		t.resumeCopy(o, v.stored, c, now.now)
	case isMoved:
		t.move(o, v.generation, c, v.reason, now.now)
	case isDuplicate:
		t.skip(o, v.generation, c, now.now)
	case isUnwanted:
		_ = c.body.Close() // opened for reading
	case isUnclear:
		o.pending[c.Inode] = c
	default:
		t.begin(o, c, now.now)
	}
}

// open opens a candidate and reports whether it is still one. If the name leads to another file by now, or to a known one,
// it is left to the next scan.
func (t *Tailer) open(o *origin, c *candidate, now time.Time) bool {
	h, s, err := t.openWithin(o, c.tree, c.rel)
	if !c.unselected && (err == nil && s.Inode != c.Inode || errors.Is(err, os.ErrNotExist)) {
		o.missed[c.Inode] = missedFile{c.selections, o.scans} // it was rotated since
		delete(o.fresh, c.Inode)
	}
	if err == nil && (s.Inode != c.Inode || o.byInode[s.Inode] != nil) {
		err = errors.Join(h.Close(), os.ErrNotExist)
	}
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	t.problems.report(o.problem(c.path()), err)
	if err != nil {
		return false
	}
	c.Stat, c.body, c.grew = s, h, now
	c.probe()
	return true
}

// place moves g to the file of c, which it takes over. The key and positions of g stay.
func (t *Tailer) place(o *origin, g *generation, c *candidate, now time.Time) *generation {
	g.tree, g.rel = c.tree, c.rel
	g.changed, g.since, g.wake = now, now, t.wake
	g.mu.Lock()
	old := g.body
	g.Stat, g.packed = c.Stat, c.packed
	g.body, g.searching, g.lost, g.torn = c.body, false, "", ""
	g.gone.Store(false)
	g.end.Store(c.Size)
	if c.packed { // its expanded size is not known yet, but exceeds what was read
		g.end.Store(max(c.Size, g.furthest().At+1, g.read()+1))
	}
	g.mu.Unlock()
	if old != nil {
		_ = old.Close() // opened for reading
	}
	if !c.unselected {
		g.fire(Selected)
	}
	o.add(g)
	if !c.unselected {
		g.seen = o.scans
		o.setLatest(g.name(), g.asLatest())
	}
	return g
}

func (t *Tailer) enrollAll(o *origin, g *generation, c *candidate, now time.Time) {
	for _, s := range c.selections {
		o.enroll(g, s, now)
	}
}

// learnHead extends the head of a generation to the present size of its file.
func (t *Tailer) learnHead(o *origin, g *generation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.growHead(); err != nil {
		t.problems.report(o.problem(g.name()), err)
	}
}

// learnProof sets the proof of a generation at off.
func (t *Tailer) learnProof(o *origin, g *generation, off int64) {
	if g.packed {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p, err := fingerprint.ProofAt(g.body, off)
	if err != nil {
		t.problems.report(o.problem(g.name()), err)
		return
	}
	g.known = p
}

// begin starts a new stream for a candidate.
func (t *Tailer) begin(o *origin, c *candidate, now time.Time) *generation {
	g := &generation{key: newKey(o.id(), c.Inode, now), path: c.path(), state: Rotated}
	t.place(o, g, c, now)
	if c.unselected { // records name the file that was declared
		g.path = c.declaredAs()
	}
	o.counts.Generations++
	t.learnHead(o, g)
	t.enrollAll(o, g, c, now)
	return g
}

// skip starts a stream for a candidate and sets its positions to the end, because original holds the same bytes.
func (t *Tailer) skip(o *origin, original *generation, c *candidate, now time.Time) {
	if c.unselected {
		_ = c.body.Close() // opened for reading
		return
	}
	g := t.begin(o, c, now)
	o.counts.Copies++
	g.end.Store(original.end.Load())
	for i := range g.positions {
		g.positions[i].off = g.end.Load()
	}
}

// resume continues a stored stream in its own file.
func (t *Tailer) resume(o *origin, m *storedStream, c *candidate, now time.Time) {
	g := &generation{stale: m.mark.Dev != c.Dev}
	t.restore(o, g, m, c, now)
	t.learnHead(o, g)
	t.enrollAll(o, g, c, now)
}

// resumeCopy continues a stored stream in a copy of its file.
func (t *Tailer) resumeCopy(o *origin, m *storedStream, c *candidate, now time.Time) {
	g := &generation{stale: true}
	t.restore(o, g, m, c, now)
	o.counts.Copies++
	t.enrollAll(o, g, c, now)
}

// restore makes g the generation of a stored stream, in the candidate's file.
func (t *Tailer) restore(o *origin, g *generation, m *storedStream, c *candidate, now time.Time) {
	g.key, g.path, g.head, g.positions = m.key, m.mark.Path, m.mark.Head, slices.Clone(m.positions)
	if c.unselected {
		g.fire(Copied)
	}
	t.place(o, g, c, now)
	o.stored.remove(m)
	t.learnProof(o, g, m.mark.Off)
	if g.packed && c.expanded == m.mark.Off { // its trailer says that all of it was read
		g.end.Store(m.mark.Off)
	}
}

// move continues a generation's stream in a candidate, which holds everything that was read of it.
func (t *Tailer) move(o *origin, g *generation, c *candidate, reason string, now time.Time) {
	if g.inPlace() {
		t.vacate(o, g, now, removed)
	}
	t.log.Info("resuming file in another one", "file", g.path, "in", c.path(), "reason", reason)
	o.remove(g)
	o.counts.Copies++
	g.stale = true
	g.fire(Copied)
	g.setEnding(false)
	packedBefore := g.packed
	end := g.end.Load()
	t.place(o, g, c, now)
	if g.packed && !packedBefore && c.expanded == end { // by its trailer, it holds just what was there
		g.end.Store(end)
	}
	t.enrollAll(o, g, c, now)
}

// resumeStored resumes the stored streams whose files were found.
func (t *Tailer) resumeStored(o *origin, now circumstances) {
	for id, c := range o.fresh {
		if len(o.stored.withNumber(id.Ino)) == 0 || o.pending[id] != nil || !t.open(o, c, now.now) {
			continue
		}
		v := classifyStored(&o.registry, c, now)
		if v.kind == isStored || v.kind == isUnwanted {
			delete(o.fresh, id)
			t.apply(o, c, v, now)
			continue
		}
		for _, m := range v.replaced {
			m.replaced = true
		}
		_ = c.body.Close() // opened for reading; it is opened again when all that are stored are known
		c.body = nil
		if v.err != nil {
			t.problems.report(o.problem(c.path()), v.err)
		}
	}
}

// resumeRenamed finds files that were rotated while this process was down, under any name in their directory or below it,
// and resumes their streams.
func (t *Tailer) resumeRenamed(o *origin, now circumstances) {
	seen := map[string]bool{}
	for m := range o.stored.streams {
		tree, rel, selections := o.placeOf(m, now.started)
		if tree == nil {
			continue
		}
		o.setLatest(m.mark.Path, &latestFile{birth: m.mark.Birth, modTime: m.mark.ModTime, selections: selections, considered: true})
		dir := path.Dir(rel)
		if seen[tree.Path(dir)] {
			continue
		}
		seen[tree.Path(dir)] = true
		for name, s := range tree.FilesBelow(dir) {
			if len(o.stored.withNumber(s.Ino)) > 0 && o.byInode[s.Inode] == nil && o.fresh[s.Inode] == nil {
				o.fresh[s.Inode] = &candidate{Stat: s, tree: tree, rel: name, selections: selections,
					unselected: true, byNumber: true, first: o.scans}
			}
		}
	}
	if len(seen) == 0 {
		return
	}
	t.resumeStored(o, now)
	for _, c := range o.fresh {
		c.byNumber = false // the remaining ones were truncated and then renamed
	}
	o.findUnselected() // their successors may have been rotated too
}

// placeOf returns where a stored stream's file was last seen: its tree, its name there, and the selections of started that
// follow it. tree is nil if none of them does.
func (o *origin) placeOf(m *storedStream, started []*selection) (tree *find.Tree, rel string, selections []*selection) {
	for _, s := range started {
		if !slices.ContainsFunc(m.positions, func(p position) bool { return p.id.declaration == s.Name }) {
			continue
		}
		if t := o.trees[s.pattern.Base()]; t != nil && t.Covers(m.mark.Path) {
			tree = t
			selections = append(selections, s)
		}
	}
	if tree == nil {
		return nil, "", nil
	}
	return tree, tree.Rel(m.mark.Path), selections
}

// searchCopies searches files that no selection chooses for the bytes of truncated files, and of stored streams whose files
// were not found.
func (t *Tailer) searchCopies(o *origin, now circumstances) {
	for _, g := range slices.Clone(o.left) {
		if g.state == Searching || g.why == truncated && now.now.Sub(g.since) < searchFor && g.leftScan >= o.scans {
			is := func(c *candidate) verdict {
				if mayBeCopy(g, c) && copied(g, c) {
					return verdict{kind: isMoved, generation: g, reason: "it holds what a known file held"}
				}
				return verdict{}
			}
			t.searchIn(o, g.tree, path.Dir(g.rel), g.selections, now, is)
		}
	}
	if len(now.started) == 0 {
		return
	}
	for m := range o.stored.streams {
		tree, rel, selections := o.placeOf(m, now.started)
		if tree == nil || m.mark.Head.N == 0 {
			continue
		}
		is := func(c *candidate) verdict {
			if m.copiedTo(c) {
				return verdict{kind: isStoredCopy, stored: m, reason: "it holds what the file of a stored stream held"}
			}
			return verdict{}
		}
		t.searchIn(o, tree, path.Dir(rel), selections, now, is)
	}
}

// searchIn applies the verdict of is to the first file of a directory for which it is decided.
func (t *Tailer) searchIn(o *origin, tree *find.Tree, dir string, selections []*selection, now circumstances, is func(*candidate) verdict) {
	for rel, s := range tree.Files(dir) {
		if o.byInode[s.Inode] != nil || o.pending[s.Inode] != nil || o.fresh[s.Inode] != nil {
			continue
		}
		c := &candidate{Stat: s, tree: tree, rel: rel, selections: selections, unselected: true, first: o.scans}
		if !t.open(o, c, now.now) {
			continue
		}
		c.grew = time.Time{} // it is not being written: what it was made from is gone
		if v := is(c); v.kind != undecided {
			t.apply(o, c, v, now)
			return
		}
		_ = c.body.Close() // opened for reading
	}
}
