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

// observeAll observes the generations that are due, or all of them.
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

// unchanged reports whether all files of an origin are as last observed. It costs one fstat per file, and returns false if a
// file is closed.
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

// observe finds out what has happened to a generation since it was last observed.
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
	// The size was read before the content, so that a change in between is seen now or by the next observation.
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
	if s.Size < end { // cut off after what was read
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

// noteLinks notes a changed number of links: the file may have been removed.
func (t *Tailer) noteLinks(o *origin, g *generation, s find.Stat) {
	if s.Links != g.Links {
		g.Links, g.Blocks = s.Links, s.Blocks
		o.activate(g)
	}
}

// observePacked is observe for a compressed file. A file that has grown is expanded further. A file that ends within a compressed
// member may still grow; the rest is given up once the file has not been written for a while, or will not be any more. The rest
// of a damaged file is given up at once. In both cases the generation stays, so that the file is not read again.
func (t *Tailer) observePacked(o *origin, g *generation, s find.Stat, suspect bool, now time.Time) error {
	z, _ := g.body.(*gunzip.Reader)
	if z == nil {
		return nil // replaced by a test
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

// judgeTorn gives up the rest of a compressed file if it is damaged, or if it ends too early and late is set.
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

// observeClosed observes a closed file by its name, and opens it if it has changed or a reader needs it.
func (t *Tailer) observeClosed(o *origin, g *generation, now time.Time) (open bool, err error) {
	if g.rel == "" {
		return false, nil
	}
	s, err := g.tree.Stat(g.rel)
	if errors.Is(err, os.ErrNotExist) || err == nil && s.Inode != g.Inode {
		if o.over() {
			t.searchLast(o, g, now)
		}
		return false, nil // the scan will find its new name
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
			return false, nil // it would only close one that was opened for the same reason
		}
	}
	return t.reopen(o, g, now)
}

// searchLast searches the directory of a generation whose name is gone, for an origin that has ended and is no longer
// scanned. If the file is not there, the generation has left its inode.
func (t *Tailer) searchLast(o *origin, g *generation, now time.Time) {
	if g.tree.Begin() != nil { // Begin also discards the listings of the last scan
		t.vacate(o, g, now, removed)
		return
	}
	t.locate(o, g, now)
}

// reopen opens a file that was closed to save a descriptor.
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
	case s.Birth == 0 && g.head.N == 0: // nothing was read, so only the name says that it is the same file
		same = same && s.Size == 0 && (!g.moved() || find.MayBecome(g.was.rel, g.rel))
	}
	if z, ok := c.body.(*gunzip.Reader); ok && same {
		if same, err = g.provenBy(z, c.expanded); err != nil {
			return false, errors.Join(err, c.body.Close())
		}
	}
	g.wanted.Store(false)
	g.changed = now // so that closeIdle does not close it next
	o.activate(g)
	g.mu.Lock()
	g.body = c.body
	g.mu.Unlock()
	if !same {
		t.replaced(o, g, now)
	}
	return same, nil
}

// replaced ends a generation whose file was just reopened and holds other bytes: the file was truncated, or the inode was
// given to another file. The birth time tells which. If it is unknown, the file counts as truncated only if a selection
// chooses its name; any other file may not be meant to be read.
func (t *Tailer) replaced(o *origin, g *generation, now time.Time) {
	if s, err := statBody(g.body); err == nil && g.state != Active && (s.Birth == 0 || s.Birth != g.Birth) {
		g.moveBack()
		t.vacate(o, g, now, removed)
		return
	}
	t.truncated(o, g, now)
}

// truncated ends a generation whose inode holds other bytes now, and makes a candidate of these. The unread bytes may be
// found in a copy that was made before the truncation.
func (t *Tailer) truncated(o *origin, g *generation, now time.Time) {
	unread := g.owed().unread
	body := g.takeBody()
	o.counts.Truncations++
	c := &candidate{tree: g.tree, rel: g.rel, selections: g.selections, unselected: g.state != Active, first: o.current()}
	if g.moved() && !c.unselected {
		c.selections = g.claims
	}
	g.moveBack() // its copies are recognised by its own name
	t.log.Info("file was truncated", "file", g.name(), "read", g.end.Load()-unread, "unread", unread)
	t.vacate(o, g, now, truncated)
	if o.over() { // its writer is gone, so another writer truncated the file
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
	o.pending[c.Inode] = c // until a scan has found the present names of all files
	o.urgent = true
}

// vacate ends a generation whose bytes have left their inode. Its fingerprint is kept for a while, and copies are searched
// for what is unread.
func (t *Tailer) vacate(o *origin, g *generation, now time.Time, why string) {
	if !g.inPlace() {
		return
	}
	g.close()
	// An unterminated line was read but is not acknowledged: its end may be in a copy too.
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

// giveUp makes a gap of the unread bytes of a generation.
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

// lost counts and logs bytes that were lost unread.
func (t *Tailer) lost(o *origin, path string, bytes int64, why string) {
	o.counts.Lost += bytes
	notice.FileLost.Log(t.log, "file", path, "bytes", bytes, "why", why)
}
