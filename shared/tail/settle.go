// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"slices"
	"time"
)

// collectDone removes the readers that the pipeline has detached and keeps their positions.
func (o *origin) collectDone() {
	for g := range o.activeAndLeft() {
		if !slices.ContainsFunc(g.readers, func(r *reader) bool { return r.done.Load() }) {
			continue
		}
		g.mu.Lock()
		g.known = *g.furthest()
		var rest []*reader
		for _, r := range g.readers {
			if !r.done.Load() {
				rest = append(rest, r)
				continue
			}
			off := r.released.Load()
			if at := r.ended.Load(); at >= 0 && !r.detached.Load() {
				off = at // everything was acknowledged or reported as lost
			}
			g.setPosition(position{r.id, off, r.last})
		}
		g.readers = rest
		g.mu.Unlock()
	}
}

// settle advances each generation of an origin by one step, and ends what has taken long enough.
func (t *Tailer) settle(o *origin, now time.Time) {
	t.record(o)
	if o.phase != withdrawing {
		t.endOrigin(o, now)
		for g := range o.active {
			t.advance(o, g, now)
		}
	}
	if o.scanned.Equal(now) {
		t.reclaim(o, now)
	}
	t.endSearches(o, now)
	t.forget(o, now)
}

// advance does what is due for one generation.
func (t *Tailer) advance(o *origin, g *generation, now time.Time) {
	if g.Links == 0 {
		g.fire(Unlinked)
	}
	owed := g.owed()
	switch {
	case g.state == Held && g.Links == 0 && (g.body == nil || len(g.readers) == 0 && owed.unread == 0):
		t.vacate(o, g, now, removed)
		return
	case g.state == Held && o.phase == ending:
		g.setEnding(true)
	case (g.state == Rotated || g.state == Held) && now.Sub(later(g.changed, g.since)) >= quietFor:
		g.setEnding(true)
	case g.packed && now.Sub(g.changed) >= quietFor, o.writerStopped(g, now):
		g.setEnding(true)
	case g.state == Active && now.Sub(g.changed) >= detachAfter && owed.done():
		g.detachAll()
	}
	t.attach(o, g)
	if g.idle(owed, now) {
		delete(o.active, g)
	}
}

// idle reports whether a generation needs no attention until it changes.
func (g *generation) idle(o owed, now time.Time) bool {
	return len(g.readers)+len(g.unsaved) == 0 && !g.stale && (g.state == Active || g.Links > 0) &&
		now.Sub(g.changed) >= busyFor && o.done()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// endOrigin ends the files of an origin whose writer is gone, once its last scan is complete.
func (t *Tailer) endOrigin(o *origin, now time.Time) {
	if o.phase != ending || o.scan != nil || o.urgent {
		return
	}
	o.ended = true
	for g := range o.all() {
		if g.fire(Ended) {
			g.since = now
			o.activate(g)
		}
	}
}

// endSearches gives up unread bytes for which copies were searched long enough.
func (t *Tailer) endSearches(o *origin, now time.Time) {
	for _, g := range o.left {
		if g.state == Searching && (t.draining.Load() || o.phase == ending && o.ended || now.Sub(g.since) >= searchFor) {
			t.giveUp(o, g, now, g.why)
		}
	}
}

// attach attaches a reader for each selection and output of a generation that has bytes to read.
func (t *Tailer) attach(o *origin, g *generation) {
	for _, s := range g.selections {
		for _, out := range s.Outputs {
			p, ok := g.position(readerID{s.Name, out})
			if ok && p.off < g.end.Load() && g.reader(p.id) == nil {
				t.problems.report(o.problem(g.path), t.attachReader(o, g, s, p))
			}
		}
	}
}

func (t *Tailer) attachReader(o *origin, g *generation, s *selection, from position) error {
	r := &reader{generation: g, id: from.id, from: from.off, order: generationOf(g.key), proof: g.known, last: from.mark}
	r.read.Store(from.off)
	r.released.Store(from.off)
	r.ended.Store(-1)
	r.ending.Store(t.draining.Load() || o.over())
	g.mu.RLock()
	if m, err := g.mark(from.off); err == nil {
		r.last = m.Encode()
	}
	r.device = t.devices.of(g, t.remote)
	g.mu.RUnlock()
	mark := r.last
	r.marked.Store(&mark)
	var err error
	r.detach, err = t.cfg.Sink.Attach(r, o.declared, &s.Selection, g.path, from.id.output, func() {
		r.done.Store(true)
		t.wake()
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.positions = slices.DeleteFunc(g.positions, func(p position) bool { return p.id == from.id })
	g.readers = append(g.readers, r)
	return nil
}
