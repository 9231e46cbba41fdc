// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/gunzip"
)

// observeAll asks for each generation that is due, or for all of them.
func (t *Tailer) observeAll(o *origin, now time.Time, all bool) {
	var due []*generation // observing changes the registry
	if all {
		due = slices.Collect(maps.Values(o.byInode))
	} else {
		for g := range o.active {
			if now.Sub(g.changed) < busyFor || g.wanted.Load() || g.suspect.Load() || g.state == Held {
				due = append(due, g)
			}
		}
	}
	for _, g := range due {
		if err := t.observe(o, g, now); err != nil {
			t.problems.report(o.problem(g.name()), err)
		}
	}
}

// unchanged reports whether all files of an origin are as they were observed last, at the cost of one question each. Of one
// without a handle that is not known.
func (o *origin) unchanged() bool {
	for _, g := range o.byInode {
		if g.body == nil || g.packed || g.suspect.Load() || g.wanted.Load() {
			return false
		}
		if s, err := statBody(g.body); err != nil || s.Size != g.end.Load() || s.ModTime != g.ModTime || s.Links != g.Links {
			return false
		}
	}
	return true
}

// observe finds out what became of a generation since it was observed last.
func (t *Tailer) observe(o *origin, g *generation, now time.Time) error {
	suspect := g.suspect.Load() && g.suspect.Swap(false)
	closed := g.body == nil
	if closed {
		open, err := t.observeClosed(o, g, now)
		if err != nil || !open {
			return err
		}
		suspect = !g.packed
	}
	s, err := statBody(g.body)
	if err != nil {
		return err
	}
	s.Inode = g.Inode // it can't change while the file is open
	if g.packed {
		return t.observePacked(o, g, s, suspect, now)
	}
	end := g.end.Load()
	if s.Size == end && s.ModTime == g.ModTime && !suspect {
		t.noteLinks(o, g, s)
		return nil
	}
	o.activate(g)
	// The size was asked for before the content, so that whatever is in doubt is seen now or the next time.
	same, err := g.provenBy(g.body, s.Size)
	if err != nil {
		return err
	}
	if !same {
		if closed {
			t.replaced(o, g, now)
		} else {
			t.truncated(o, g, now)
		}
		return nil
	}
	if s.Size < end { // cut off behind what was read
		t.lost(o, g.name(), end-s.Size, truncated)
	}
	if s.Size != end {
		g.changed = now
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Stat = s
	g.end.Store(s.Size)
	return g.growHead()
}

// noteLinks notices whether the file was removed.
func (t *Tailer) noteLinks(o *origin, g *generation, s find.Stat) {
	if s.Links != g.Links {
		g.Links, g.Blocks = s.Links, s.Blocks
		o.activate(g)
	}
}

// observePacked is observe for a compressed file. One that has grown is expanded further. One that ends within a compressed
// member may still grow: it is given up when it was not written for a while, or will not be any more. A damaged one is
// given up at once. In both cases its generation stays, so that it is not read again.
func (t *Tailer) observePacked(o *origin, g *generation, s find.Stat, suspect bool, now time.Time) error {
	z, _ := g.body.(*gunzip.Reader)
	if z == nil {
		return nil // a test has replaced it
	}
	t.noteLinks(o, g, s)
	if s.Size < g.Size {
		t.truncated(o, g, now)
		return nil
	}
	if s.Size > g.Size || s.ModTime != g.ModTime {
		same, err := g.provenBy(z, g.end.Load())
		if err != nil {
			return err
		}
		if !same {
			t.truncated(o, g, now)
			return nil
		}
	}
	grown := s.Size > g.Size
	if grown || suspect {
		o.activate(g)
	}
	g.mu.Lock()
	g.Stat = s
	if grown {
		z.Grow(s.Size)
		g.torn = ""
		g.end.Store(max(g.end.Load()+1, sizeNow(z, s.Size)))
	}
	g.mu.Unlock()
	if grown {
		g.changed = now
		g.setEnding(false)
	}
	quiet := now.Sub(g.changed)
	if quiet >= copyPause {
		z.Settle()
	}
	hurried := t.draining.Load() || o.phase == ending || g.Links == 0
	if suspect && g.torn == "" {
		t.judgeTorn(o, g, z, hurried || quiet >= tornPause)
	}
	return nil
}

// judgeTorn decides whether what can't be expanded of a compressed file is given up.
func (t *Tailer) judgeTorn(o *origin, g *generation, z *gunzip.Reader, late bool) {
	p := z.Progress()
	if p.Complete {
		return
	}
	var b [1]byte
	_, err := z.ReadAt(b[:], p.Expanded)
	why := ""
	switch {
	case err == nil || gunzip.IsRead(err):
		return
	case !errors.Is(err, gunzip.ErrTorn):
		why = damaged
	case late:
		why = cutOff
	default:
		g.suspect.Store(true) // ask again
		return
	}
	g.mu.Lock()
	g.torn = why
	g.mu.Unlock()
	t.lost(o, g.name(), max(1, g.Size-p.Consumed), why)
}

// observeClosed asks for a generation without a handle by its name, and opens it if it changed or is to be read.
func (t *Tailer) observeClosed(o *origin, g *generation, now time.Time) (open bool, err error) {
	if g.rel == "" {
		return false, nil
	}
	s, err := g.tree.Stat(g.rel)
	if errors.Is(err, os.ErrNotExist) || err == nil && s.Inode != g.Inode {
		if o.over() {
			t.searchLast(o, g, now)
		}
		return false, nil // the scan finds where it is now
	}
	if err != nil {
		return false, err
	}
	if s.Links != g.Links {
		g.Links = s.Links
		o.activate(g)
	}
	if s.Size == g.Size && s.ModTime == g.ModTime {
		if !g.wanted.Load() {
			return false, nil
		}
		if o.reopens++; o.reopens > max(1, t.cfg.MaxOpen/2) {
			return false, nil // it would only take the handle from one that was opened for the same reason
		}
	}
	return t.reopen(o, g, now)
}

// searchLast searches for a generation of an origin that has ended, and is not scanned any more, where its file is not where
// it was: in the same directory. If it is not there it has left.
func (t *Tailer) searchLast(o *origin, g *generation, now time.Time) {
	if g.tree.Begin() != nil { // which also makes the directory be read again
		t.vacate(o, g, now, removed)
		return
	}
	t.locate(o, g, now)
}

// reopen opens a file again that was closed to save a handle.
func (t *Tailer) reopen(o *origin, g *generation, now time.Time) (open bool, err error) {
	h, s, err := t.openWithin(o, g.tree, g.rel)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if s.Inode != g.Inode {
		return false, h.Close()
	}
	c := &candidate{Stat: s, tree: g.tree, rel: g.rel, selections: g.selections, body: h}
	c.probe()
	same := s.Birth == g.Birth && c.packed == g.packed
	switch {
	case g.packed:
		same = same && s.Size >= g.Size
	case s.Birth == 0 && g.head.N == 0: // nothing was read of it, and nothing but its name says that it is the same file
		same = same && s.Size == 0 && (!g.moved() || find.MayBecome(g.was.rel, g.rel))
	}
	if z, ok := c.body.(*gunzip.Reader); ok && same {
		if same, err = g.provenBy(z, c.expanded); err != nil {
			return false, errors.Join(err, c.body.Close())
		}
	}
	g.wanted.Store(false)
	g.changed = now // so that it is not the next to be closed
	o.activate(g)
	g.mu.Lock()
	g.body = c.body
	g.mu.Unlock()
	if !same {
		t.replaced(o, g, now)
	}
	return same, nil
}

// replaced ends a generation whose handle was closed meanwhile: what was just opened was truncated, or the inode was given
// to another file. By its birth it can be told which; where that is not known, only what a selection chooses is taken for
// the file, for anything else may be nobody's business.
func (t *Tailer) replaced(o *origin, g *generation, now time.Time) {
	if s, err := statBody(g.body); err == nil && g.state != Active && (s.Birth == 0 || s.Birth != g.Birth) {
		g.moveBack()
		t.vacate(o, g, now, removed)
		return
	}
	t.truncated(o, g, now)
}

// truncated ends a generation: the inode holds other bytes now, which are a stream of their own. What was not read may be
// found in the copy that was made before.
func (t *Tailer) truncated(o *origin, g *generation, now time.Time) {
	unread := g.owed().unread
	body := g.takeBody()
	o.counts.Truncations++
	c := &candidate{tree: g.tree, rel: g.rel, selections: g.selections, unselected: g.state != Active, first: o.current()}
	if g.moved() && !c.unselected {
		c.selections = g.claims
	}
	g.moveBack() // for what may be its copy is judged by its own name
	t.log.Info("file was truncated", "file", g.name(), "read", g.end.Load()-unread, "unread", unread)
	t.vacate(o, g, now, truncated)
	if o.over() { // its writer is gone, so what was written since is somebody else's
		_ = body.Close() // opened for reading
		return
	}
	s, err := statBody(body)
	if err != nil { // the next scan finds it as a new file
		t.problems.report(o.problem(g.name()), errors.Join(err, body.Close()))
		return
	}
	c.Stat, c.body, c.grew = s, body, now
	c.probe()
	o.pending[c.Inode] = c // until the scan has found where everything is now
	o.urgent = true
}

// vacate ends a generation whose bytes are not where they were. It is still known by its content for a while; what is
// unread of it is searched for in copies.
func (t *Tailer) vacate(o *origin, g *generation, now time.Time, why string) {
	if !g.inPlace() {
		return
	}
	g.close()
	// A line that was read but has not ended yet is not acknowledged; its end may be found too.
	g.mu.RLock()
	lost := g.lost != ""
	g.mu.RUnlock()
	event := Left
	if !lost && !g.owed().done() {
		event = Vanished
	}
	g.fire(event)
	g.since, g.why, g.leftScan = now, why, o.scans+1
	o.leave(g)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.searching = g.state == Searching; !g.searching && !lost {
		g.forfeit(why)
	}
}

// giveUp says that what is unread of a generation will not be read any more.
func (t *Tailer) giveUp(o *origin, g *generation, now time.Time, why string) {
	g.close()
	if unread := g.owed().unread; unread > 0 {
		t.lost(o, g.name(), unread, why)
	}
	g.mu.Lock()
	g.forfeit(why)
	g.mu.Unlock()
	if g.inPlace() {
		o.leave(g)
		g.leftScan, g.why = o.scans+1, why
	}
	g.fire(GivenUp)
	g.since = now
}

// lost reports bytes that nobody will ever read.
func (t *Tailer) lost(o *origin, path string, bytes int64, why string) {
	o.counts.Lost += bytes
	notice.FileLost.Log(t.log, "file", path, "bytes", bytes, "why", why)
}
