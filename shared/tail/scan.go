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
	// scanBudget bounds the work of scans in one step: each name read or visited costs 1, each stat statCost. A scan that exceeds
	// it continues in the next step.
	scanBudget = 50_000
	// statCost is the cost of a stat in units of scanBudget.
	statCost = 10
)

// scan is one search of an origin for the files that its selections choose.
type scan struct {
	searches []*search
	started  []*selection // those searched for the first time
	// unwatched means that files may appear without a hint: the scan has met something whose changes cause no event, such as a
	// link, an error or an unwatched directory.
	unwatched bool
}

// search is one selection's part of a scan.
type search struct {
	selection *selection
	tree      *find.Tree
	find      *find.Search
}

// startScan begins a scan for new files, and for known ones that were renamed or removed.
func (t *Tailer) startScan(o *origin) {
	o.scans++
	o.hinted.Store(false)
	o.urgent, o.scanCost = false, 0
	o.scan = &scan{}
	for id, c := range o.fresh { // those that could not be opened
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

// scanOn starts or continues an origin's scan until the budget is used up, and reports whether the scan is complete.
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

// problem returns the subject of a problem with a path of the origin.
func (o *origin) problem(path string) subject { return subject{o.id(), path} }

// visit handles a name that a selection chooses: it is a known generation, or becomes a candidate.
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
		return // a dangling link, for now
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

// noteGone notes that a name was listed but is gone. Its file may have been rotated before it was ever opened, so that a
// file under the name of a rotation will be considered. All that is known of the file is that it was created since the
// previous listing of the directory.
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

// enroll adds the readers of a selection to a generation, as positions that attach will use. Each begins at the start of the
// file, unless the present content is to be skipped or was delivered by another collector.
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
			if off := o.delivered(g.Inode); off <= g.end.Load() { // a larger offset belongs to another file
				start = max(start, off)
			}
		}
		g.setPosition(position{id: id, off: start})
		g.unsaved = append(g.unsaved, id)
		o.activate(g)
	}
}

// lastLine returns the offset of an unterminated last line, or the end of the file if its last line is terminated. It reads
// back at most readBack bytes; for a longer line it returns the end of the file.
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

// findRotations notices the generations that no selection chooses any more, and finds their new names.
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

// locate finds the new name of a generation that no selection chooses. A generation with neither a name nor an open file has
// left its inode.
func (t *Tailer) locate(o *origin, g *generation, now time.Time) {
	if g.Links == 0 || g.rel == "" || hasName(g) {
		return
	}
	dir := path.Dir(g.rel)
	_, version, err := g.tree.Names(dir)
	if err != nil && o.phase == ending && g.body == nil {
		t.vacate(o, g, now, removed) // the volume will not be mounted again
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
	if g.body == nil { // it must be noticed before its copy could be taken for a new file
		t.vacate(o, g, now, removed)
	}
}

// confirmMoved observes the generations that were found under another name, to confirm that they hold the same content. This must
// happen before the candidates that may be their copies are classified.
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
			continue // the name belongs to another file
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

// findUnselected finds files that were created and rotated between two scans. They have the name of a rotation of a followed
// file and are not older than it.
func (o *origin) findUnselected() {
	o.eachSibling(func(b *latestFile, tree *find.Tree, rel string) {
		g := b.generation
		if g != nil && g.state == Active && len(o.missed) == 0 {
			return // its name was never given to another file
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

// missedFile is a file that a selection chose and that was rotated before it could be opened.
type missedFile struct {
	selections []*selection
	scan       int
}

// missedScans is the number of scans for which a missed file, or one whose name vanished, is searched for.
const missedScans = 10

// noteOlder records the files that existed under the names of rotations when a file was first followed. The file system's
// clock ticks every few milliseconds: of files with the same birth time, those that appear later are the younger ones.
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

// eachSibling calls do for each regular file whose name is that of a rotation of b, a followed file.
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

// relDir returns the name below tree's base of the directory at path dir, and whether the tree holds it.
func relDir(tree *find.Tree, dir string) (string, bool) {
	dir = path.Clean(dir)
	if dir == tree.Base() {
		return ".", true
	}
	return tree.Rel(dir), tree.Covers(dir)
}
