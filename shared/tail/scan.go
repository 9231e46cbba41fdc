// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"errors"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/tail/find"
)

const (
	// scanBudget bounds what one step searches: about as many names are read or visited, or a tenth as many files asked for.
	// A scan that is not complete then continues in the next step.
	scanBudget = 50_000
	// statCost is what a question to the file system costs of that.
	statCost = 10
)

// scan is one search of an origin for the files that its selections choose.
type scan struct {
	searches []*search
	started  []*selection // that were searched for the first time
	// unwatched says that files may be found at the next scan although no hint was given: something was searched, or met,
	// whose changes no events tell.
	unwatched bool
}

// search is one selection's part of a scan.
type search struct {
	selection *selection
	tree      *find.Tree
	find      *find.Search
}

// startScan begins to search for files: new ones, and those that have another name than before, or none.
func (t *Tailer) startScan(o *origin) {
	o.scans++
	o.hinted.Store(false)
	o.urgent, o.scanCost = false, 0
	o.scan = &scan{}
	for id, c := range o.fresh { // could not be opened
		o.unresolved[id] = c.first
	}
	clear(o.fresh)
	missing := map[*find.Tree]bool{}
	for base, tree := range o.trees {
		err := tree.Begin()
		t.problems.report(o.problem(base), err)
		missing[tree] = err != nil
		o.scan.unwatched = o.scan.unwatched || err != nil
	}
	for _, s := range o.selections {
		tree := o.trees[s.pattern.Base()]
		if tree == nil {
			tree = o.tree(s)
			err := tree.Begin()
			t.problems.report(o.problem(tree.Base()), err)
			missing[tree] = err != nil
			o.scan.unwatched = o.scan.unwatched || err != nil
		}
		if !missing[tree] {
			o.scan.searches = append(o.scan.searches, &search{s, tree, tree.Search(s.pattern, s.exclude.ByPath())})
		}
	}
}

// scanOn continues an origin's scan until the budget is used up, and reports whether it is complete.
func (t *Tailer) scanOn(o *origin, now time.Time, budget *int) bool {
	if o.scan == nil {
		t.startScan(o)
	}
	before := *budget
	defer func() { o.scanCost += before - *budget }()
	for len(o.scan.searches) > 0 {
		s := o.scan.searches[0]
		done, err := s.find.Step(budget,
			func(m *find.Match) { t.visit(o, s.selection, s.tree, m, now, budget) },
			func(dir *os.File, id find.Inode) {
				complete := t.hints.Watch(o.id(), dir, id)
				o.scan.unwatched = o.scan.unwatched || !complete
			})
		if !done {
			return false
		}
		o.scan.unwatched = o.scan.unwatched || err != nil || !s.find.Direct()
		if errors.Is(err, unix.EMFILE) {
			t.closeIdle(o)
		}
		t.problems.report(o.problem(s.selection.Name+"="+s.selection.Pattern), err)
		if err == nil && !s.selection.started {
			o.scan.started = append(o.scan.started, s.selection)
		}
		o.scan.searches = o.scan.searches[1:]
	}
	t.finishScan(o, now)
	return true
}

func (t *Tailer) finishScan(o *origin, now time.Time) {
	started := o.scan.started
	t.findRotations(o, now)
	t.confirmMoved(o, now)
	o.findUnselected()
	t.classifyAll(o, circumstances{now: now, hurried: t.draining.Load() || o.phase == ending, started: started, scan: o.scans})
	for _, s := range started {
		s.started, s.began = true, now
	}
	if len(started) > 0 {
		o.setDeadlines()
	}
	o.noteOlder()
	t.hints.Round(o.id())
	clear(o.unresolved)
	o.watched = !o.scan.unwatched && len(o.fresh)+len(o.pending)+len(o.missed)+len(o.left) == 0
	o.scan, o.scanned, o.reselected = nil, now, false
}

// problem is what a problem of the origin is reported about.
func (o *origin) problem(path string) subject { return subject{o.id(), path} }

// visit takes note of a name that a selection chooses.
func (t *Tailer) visit(o *origin, s *selection, tree *find.Tree, m *find.Match, now time.Time, budget *int) {
	if g := o.byInode[m.Known]; g != nil && !m.Pending {
		o.choose(g, s, tree, m.Rel, now)
		return
	}
	m.Known, m.Pending = find.Inode{}, true
	name := tree.Path(m.Rel)
	if s.exclude.Matches(name) {
		m.Pending = false
		return
	}
	*budget -= statCost
	stat, err := tree.Lstat(m.Rel)
	link := err == nil && stat.Symlink()
	if link {
		stat, err = tree.Stat(m.Rel)
	}
	o.scan.unwatched = o.scan.unwatched || link || err != nil
	if link && errors.Is(err, os.ErrNotExist) {
		return // it leads nowhere, for now
	}
	if errors.Is(err, os.ErrNotExist) {
		o.noteGone(s, tree, m.Rel)
		return
	}
	problem := o.problem(name)
	switch {
	case err != nil:
	case stat.Dir():
		return
	case !stat.Regular():
		err = &find.Refused{Why: "it is " + stat.Kind()}
	case o.byInode[stat.Inode] == nil && t.cfg.Owned != nil && t.cfg.Owned(o.declared.Root.HostPath(name), stat.Dev, stat.Ino):
		err = &find.Refused{Why: "this process writes it: it belongs to an output or to its state"}
	}
	if err != nil {
		t.problems.report(problem, err)
		return
	}
	if g := o.byInode[stat.Inode]; g != nil {
		t.problems.report(problem, nil)
		m.Known, m.Pending = stat.Inode, link
		o.choose(g, s, tree, m.Rel, now)
		return
	}
	c := o.fresh[stat.Inode]
	if c == nil {
		c = &candidate{Stat: stat, tree: tree, rel: m.Rel, first: o.scans}
		if first, ok := o.unresolved[stat.Inode]; ok {
			c.first = first
		}
		o.fresh[stat.Inode] = c
	}
	if !slices.Contains(c.selections, s) {
		c.selections = append(c.selections, s)
	}
}

// noteGone notes that a name was listed and then gone. It may have been rotated between the two, before anything was known
// of it: a file that then bears the name of its rotation is considered. Of the file itself it is only known that it was made since
// the directory was read before.
func (o *origin) noteGone(s *selection, tree *find.Tree, rel string) {
	name := tree.Path(rel)
	if dir, base := path.Split(name); o.latest[dir][base] == nil {
		since := tree.NewSince(path.Dir(rel))
		o.setLatest(name, &latestFile{birth: since, modTime: since, selections: []*selection{s}, vanished: o.scans})
	}
}

// choose notes that a selection chooses a generation under the name rel.
func (o *origin) choose(g *generation, s *selection, tree *find.Tree, rel string, now time.Time) {
	if g.seen != o.scans {
		g.seen = o.scans
		if g.rel != rel || g.tree != tree {
			g.movedTo(tree, rel)
		}
	}
	if g.fire(Selected) {
		g.since = now
		o.activate(g)
		g.setEnding(false)
	}
	if g.moved() {
		g.claims = append(g.claims, s)
		return
	}
	o.enroll(g, s, now)
}

// enroll gives a selection its readers of a generation. Each begins at the file's start, unless its present content is to
// be skipped.
func (o *origin) enroll(g *generation, s *selection, now time.Time) {
	if !slices.Contains(g.selections, s) {
		g.selections = append(g.selections, s)
	} else if len(g.readers)+len(g.positions) >= len(s.Outputs)*len(g.selections) {
		return // the usual case, at each scan for each file
	}
	for _, out := range s.Outputs {
		id := readerID{s.Name, out}
		if _, ok := g.position(id); ok || g.reader(id) != nil {
			continue
		}
		old := s.IgnoreOlder > 0 && now.Sub(time.Unix(0, g.ModTime)) > s.IgnoreOlder
		start := int64(0)
		if old || s.FromEnd && s.isNew && !s.started {
			start = lastLine(g)
		}
		if o.delivered != nil && !g.packed {
			if off := o.delivered(g.Inode); off <= g.end.Load() { // else it is another file
				start = max(start, off)
			}
		}
		g.setPosition(position{id: id, off: start})
		g.unsaved = append(g.unsaved, id)
		o.activate(g)
	}
}

// lastLine is where the last line of the file begins that is not ended yet, the end of the file if all are. A line that
// is longer than this reads back is skipped to the file's end.
func lastLine(g *generation) int64 {
	const readBack = 64 << 10
	end := g.end.Load()
	if g.packed || g.body == nil || end == 0 {
		return end
	}
	from := max(end-readBack, 0)
	buf := make([]byte, end-from)
	n, err := g.body.ReadAt(buf, from)
	if n < len(buf) && err != nil {
		return end
	}
	if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
		return from + int64(i) + 1
	}
	if from == 0 {
		return 0
	}
	return end
}

// findRotations notices which generations no selection chooses any more, and finds out where they are.
func (t *Tailer) findRotations(o *origin, now time.Time) {
	for _, g := range o.byInode {
		if g.seen != o.scans && g.fire(Unselected) {
			g.since = now
			o.counts.Rotations++
			o.activate(g)
		}
		if g.state == Rotated || g.state == Held {
			t.locate(o, g, now)
		}
	}
}

// locate finds the name of a generation that was renamed to one that no selection chooses. One that has neither a name nor
// an open handle has left.
func (t *Tailer) locate(o *origin, g *generation, now time.Time) {
	if g.Links == 0 || g.rel == "" || hasName(g) {
		return
	}
	dir := path.Dir(g.rel)
	_, version, err := g.tree.Names(dir)
	if err != nil && o.phase == ending && g.body == nil {
		t.vacate(o, g, now, removed) // nobody will mount it again
	}
	if err != nil || g.located == version {
		return
	}
	g.located = version
	for name, s := range g.tree.Files(dir) {
		if s.Inode == g.Inode {
			g.movedTo(g.tree, name)
			return
		}
	}
	if g.body == nil { // as far as can be told; it must be known before what may be its copy is taken for a new file
		t.vacate(o, g, now, removed)
	}
}

// confirmMoved observes generations that were found under another name: it can be told now whether they still hold what
// they did, and must be, before what may be their copies is judged.
func (t *Tailer) confirmMoved(o *origin, now time.Time) {
	var moved []*generation
	for _, g := range o.byInode {
		if g.moved() {
			moved = append(moved, g)
		}
	}
	for _, g := range moved {
		if err := t.observe(o, g, now); err != nil {
			t.problems.report(o.problem(g.name()), err)
		}
		if !g.moved() {
			continue // it was another file
		}
		if g.state == Active {
			o.setLatest(g.name(), g.asLatest())
		}
		for _, s := range g.claims {
			o.enroll(g, s, now)
		}
		g.was, g.claims = place{}, nil
	}
}

func (g *generation) asLatest() *latestFile {
	return &latestFile{id: g.Inode, birth: g.Birth, modTime: g.ModTime, generation: g}
}

// findUnselected finds files that came and went between two scans: they have the name of a rotation of one that was
// followed, and are not older than that.
func (o *origin) findUnselected() {
	o.eachSibling(func(b *latestFile, tree *find.Tree, rel string) {
		g := b.generation
		if g != nil && g.state == Active && len(o.missed) == 0 {
			return // nothing can have come between a file that still has its name and itself
		}
		s, err := tree.Lstat(rel)
		if err != nil || o.byInode[s.Inode] != nil || o.fresh[s.Inode] != nil {
			return
		}
		c := &candidate{Stat: s, tree: tree, rel: rel, selections: b.selectedBy(), unselected: true, first: o.scans}
		if m, ok := o.missed[s.Inode]; ok {
			c.selections = m.selections
		} else if g != nil && g.state == Active || !b.precedes(s, rel) {
			return
		}
		delete(o.missed, s.Inode)
		o.fresh[s.Inode] = c
	})
	for id, m := range o.missed {
		if m.scan < o.scans-missedScans {
			delete(o.missed, id)
		}
	}
	o.clearVanished(o.scans - missedScans)
}

// missedFile is a file that a selection chose, and that had been rotated when it was opened.
type missedFile struct {
	selections []*selection
	scan       int
}

// missedScans is for how many scans a missed file, or one whose name vanished, is searched for.
const missedScans = 10

// noteOlder notes which files were there, under the names of rotations, when a file was followed for the first time:
// of those that come later and are as old, by a clock of a few milliseconds, it is known that they are younger.
func (o *origin) noteOlder() {
	fresh := false
	for _, names := range o.latest {
		for _, b := range names {
			fresh = fresh || !b.considered
		}
	}
	if !fresh {
		return
	}
	o.eachSibling(func(b *latestFile, tree *find.Tree, rel string) {
		if b.considered {
			return
		}
		if s, err := tree.Lstat(rel); err == nil && s.Birth == b.birth {
			if b.older == nil {
				b.older = map[olderFile]bool{}
			}
			b.older[olderFile{s.Inode, s.Birth}] = true
		}
	})
	for _, names := range o.latest {
		for _, b := range names {
			b.considered = true
		}
	}
}

// eachSibling calls do for each regular file that has the name of a rotation of b, a file that was followed.
func (o *origin) eachSibling(do func(b *latestFile, tree *find.Tree, rel string)) {
	for dir, names := range o.latest {
		for _, tree := range o.trees {
			rel, ok := relDir(tree, dir)
			if !ok {
				continue
			}
			entries, _, err := tree.Names(rel)
			if err != nil {
				continue
			}
			for _, e := range entries {
				if b := rotationOf(names, e.Name); b != nil && e.Type.IsRegular() {
					do(b, tree, path.Join(rel, e.Name))
				}
			}
		}
	}
}

// relDir returns the name of a directory, whose path ends with a slash, if it is in the tree.
func relDir(tree *find.Tree, dir string) (string, bool) {
	dir = path.Clean(dir)
	if dir == tree.Base() {
		return ".", true
	}
	return tree.Rel(dir), tree.Covers(dir)
}
