// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"slices"
)

// Put starts following an origin, or changes what is followed of it. Other origins are not affected. An unchanged selection
// continues, even if the origin had ended or been withdrawn. Each error concerns one selection; the others are followed. Put does
// not wait for the file system: it takes effect in the next step of Run.
func (t *Tailer) Put(o Origin) []*SelectionError {
	var errs []*SelectionError
	declared := o
	declared.Selections = slices.Clone(o.Selections)
	var selections []*selection
	seen := map[selectionKey]bool{}
	for i, s := range declared.Selections {
		compiled, err := compile(s)
		switch {
		case len(o.ID) > maxID:
			err = fmt.Errorf("the origin's ID has %d bytes, more than %d", len(o.ID), maxID)
		case i >= MaxSelections:
			err = fmt.Errorf("more than %d selections", MaxSelections)
		case seen[s.key()]:
			err = errors.New("a selection of this name and pattern is there already")
		}
		if err != nil {
			errs = append(errs, &SelectionError{o.ID, s.Name, s.Pattern, err})
			continue
		}
		seen[s.key()] = true
		selections = append(selections, compiled)
	}
	t.request(request{id: o.ID, phase: following, declared: &declared, selections: selections})
	return errs
}

// End tells the tailer that an origin's writer is gone. Its files are searched once more and read to their ends, where a last
// line without a newline becomes a record. Then the origin is forgotten. The positions of files that still exist are kept for a
// week, so that an origin that returns resumes; those of files that are gone are not kept. What is copied, compressed or
// truncated between End and the next Put is not followed.
func (t *Tailer) End(id string) { t.request(request{id: id, phase: ending}) }

// Stopped tells the tailer whether an origin's writer is stopped for now. If it is, a last line without a newline becomes a
// record once its file has been quiet for a few seconds. The origin is still followed, because the writer may start again and
// others may write to its volumes. A new origin's writer is taken to run; a later Put does not change what Stopped has set.
func (t *Tailer) Stopped(id string, stopped bool) { t.request(request{id: id, stopped: &stopped}) }

// Withdraw stops following an origin. The positions of its files are kept for a week.
func (t *Tailer) Withdraw(id string) { t.request(request{id: id, phase: withdrawing}) }

func (t *Tailer) request(r request) {
	t.mu.Lock()
	t.requests = append(t.requests, r)
	t.mu.Unlock()
	t.wake()
}

// takeRequests carries out the requests since the last step. Requests for an origin whose step has not returned wait.
func (t *Tailer) takeRequests() {
	t.mu.Lock()
	requests, hinted := t.requests, t.hinted
	t.requests, t.hinted = nil, map[string]bool{}
	t.mu.Unlock()
	var wait []request
	waits := map[string]bool{}
	for _, r := range requests {
		o := t.origins[r.id]
		if waits[r.id] || o != nil && !o.step.TryLock() {
			waits[r.id] = true
			wait = append(wait, r)
			continue
		}
		t.take(o, r)
		if o != nil {
			o.step.Unlock()
		}
	}
	for id := range hinted {
		if o := t.origins[id]; o != nil {
			o.hinted.Store(true)
		}
	}
	if len(wait) > 0 {
		t.mu.Lock()
		t.requests = append(wait, t.requests...)
		t.mu.Unlock()
	}
}

// take carries out a request for an origin, which is nil if it is not followed.
func (t *Tailer) take(o *origin, r request) {
	if r.stopped != nil {
		if o != nil {
			o.setStopped(*r.stopped, t.cfg.Now())
		}
		return
	}
	t.positions.changed = true
	switch {
	case r.phase == following:
		t.put(o, r)
	case o == nil:
	case r.phase == ending:
		if o.phase == following {
			o.phase, o.urgent, o.scan = ending, true, nil
		}
	default:
		o.phase, o.scan = withdrawing, nil
		for g := range o.all() {
			g.detachAll()
		}
	}
}

func (t *Tailer) put(o *origin, r request) {
	for _, s := range r.selections {
		s.isNew = !t.positions.known[declaration{r.id, s.Name}]
	}
	if o == nil {
		o = newOrigin(r.declared, t.positions.of(r.id))
		o.delivered = t.cfg.Delivered
		t.origins[r.id] = o
		list := append(slices.Clone(*t.list.Load()), o)
		t.list.Store(&list)
	}
	o.ended = false
	o.declare(r.declared, r.selections)
	o.setDeadlines()
}

// leaveOrigins leaves origins that have ended, or were withdrawn, once nothing of them is being read.
func (t *Tailer) leaveOrigins() {
	for _, o := range *t.list.Load() {
		if !o.step.TryLock() {
			continue
		}
		if o.phase == withdrawing || o.over() {
			o.collectDone()
			if o.quiet() {
				t.leave(o)
			}
		}
		o.step.Unlock()
	}
}

func (t *Tailer) leave(o *origin) {
	for _, g := range o.byInode {
		o.park(g)
	}
	for _, c := range o.pending {
		_ = c.body.Close() // opened for reading
	}
	o.release()
	id := o.id()
	t.hints.Forget(id)
	t.problems.forget(id)
	t.counts.add(o.counts)
	delete(t.origins, id)
	list := slices.DeleteFunc(slices.Clone(*t.list.Load()), func(other *origin) bool { return other == o })
	t.list.Store(&list)
	t.turn = 0
	t.positions.changed = true
	t.log.Debug("origin left", "origin", id, "stored", len(o.stored.streams))
}

// quiet reports whether nothing of an origin is being read and, if it has ended, nothing is owed or searched for.
func (o *origin) quiet() bool {
	for g := range o.all() {
		if len(g.readers) > 0 || o.phase == ending && (g.state == Searching || g.state != Remembered && !g.owed().done()) {
			return false
		}
	}
	return o.phase == withdrawing || len(o.left) == 0
}

// park turns a generation without readers into a stored stream. A generation without a stored position is forgotten.
func (o *origin) park(g *generation) {
	m := &storedStream{key: g.key}
	for _, p := range g.positions {
		if slices.Contains(g.unsaved, p.id) || len(p.mark) == 0 {
			continue
		}
		m.add(p)
	}
	g.close()
	g.fire(Parked)
	delete(o.byInode, g.Inode)
	if len(m.positions) > 0 {
		o.stored.add(m)
	}
}
