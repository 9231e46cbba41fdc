// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
)

// expire notes in the store since when a position has been unused, because its declaration or output is gone or the pattern no
// longer selects the file, and deletes it after keepUnused. The time while this process does not run counts as well.
func (t *Tailer) expire(now time.Time) {
	p := t.positions
	if since := now.Sub(p.expired); !p.changed && since >= 0 && since < expireEvery {
		return
	}
	origins := map[string]*origin{} // those whose step is not running
	for id, o := range t.origins {
		if !o.step.TryLock() {
			continue
		}
		defer o.step.Unlock()
		if o.reselected {
			return // it is not known which selections want which file before it was searched for
		}
		origins[id] = o
	}
	r := review{
		store: p.store, now: now, put: map[checkpoint.Key]checkpoint.Entry{}, forget: slices.Clone(p.useless), known: map[declaration]bool{},
	}
	generations := map[*generation][]position{}
	for id, o := range origins {
		for _, g := range o.byInode {
			generations[g] = r.positions(id, g.key, g.positions, g.wants)
			for _, reader := range g.readers {
				r.known[declaration{id, reader.id.declaration}] = true
			}
		}
	}
	streams := map[*storedStream][]position{}
	for id, set := range p.stored {
		if t.origins[id] != nil && origins[id] == nil {
			continue
		}
		for m := range set.streams {
			streams[m] = r.positions(id, m.key, m.positions, func(reader readerID) bool { return t.expects(id, m, reader) })
		}
	}
	if r.err == nil {
		r.err = p.store.Commit(r.put, r.forget)
	}
	t.problems.report(checkpoints, r.err)
	if r.err != nil {
		return // all of it is tried again in the next step
	}
	p.changed, p.expired, p.useless = false, now, nil
	for _, k := range r.forget {
		if id, ok := originOf(k.Stream); ok && !r.known[declaration{id, k.Declaration}] { // it is new if it returns
			delete(p.known, declaration{id, k.Declaration})
		}
	}
	t.keepPositions(origins, generations, streams)
}

// keepPositions sets the positions of each generation and stored stream to those that are kept, and drops those that are left
// with none.
func (t *Tailer) keepPositions(origins map[string]*origin, generations map[*generation][]position, streams map[*storedStream][]position) {
	for _, o := range origins {
		gone := map[*generation]bool{}
		for _, g := range o.byInode {
			kept, ok := generations[g]
			if !ok {
				continue
			}
			if g.positions = kept; len(kept)+len(g.readers)+len(g.selections) == 0 {
				g.close()
				o.remove(g)
				gone[g] = true
			}
		}
		if len(gone) > 0 {
			o.clearLatest(gone)
		}
	}
	for id, set := range t.positions.stored {
		if t.origins[id] != nil && origins[id] == nil {
			continue
		}
		for m := range set.streams {
			if m.positions = streams[m]; len(m.positions) == 0 {
				set.remove(m)
			}
		}
		if len(set.streams) == 0 && t.origins[id] == nil {
			delete(t.positions.stored, id)
		}
	}
}

// expects reports whether a stored stream would be read for a reader if its file were found.
func (t *Tailer) expects(origin string, m *storedStream, id readerID) bool {
	o := t.origins[origin]
	return o != nil && o.phase == following &&
		slices.ContainsFunc(o.selections, func(s *selection) bool { return s.wants(id) && s.selects(m.mark.Path) })
}

// review is one search for unused positions.
type review struct {
	store  Store
	now    time.Time
	put    map[checkpoint.Key]checkpoint.Entry
	forget []checkpoint.Key
	known  map[declaration]bool // declarations that a position is kept for
	err    error
}

// positions returns those of a stream's positions that are kept, with their new marks.
func (r *review) positions(origin, stream string, all []position, wanted func(readerID) bool) []position {
	kept := make([]position, 0, len(all))
	for _, p := range all {
		key := p.key(stream)
		m, err := fingerprint.Decode(p.mark)
		switch age := r.now.Sub(time.Unix(m.Unused, 0)); {
		case err != nil: // it is not in the store yet
		case wanted(p.id):
			if m.Unused != 0 {
				m.Unused = 0
				p.mark = r.rewrite(key, m)
			}
		case m.Unused == 0 || age < -keepUnused: // or the clock was wrong
			m.Unused = r.now.Unix()
			p.mark = r.rewrite(key, m)
		case age >= keepUnused:
			r.forget = append(r.forget, key)
			continue
		}
		r.known[declaration{origin, p.id.declaration}] = true
		kept = append(kept, p)
	}
	return kept
}

// rewrite schedules a new mark for the entry at key, whose position stays the same, and returns the mark encoded.
func (r *review) rewrite(key checkpoint.Key, m fingerprint.Mark) []byte {
	e, ok, err := r.store.Load(key)
	if err != nil {
		r.err = err
	}
	b := m.Encode()
	if ok {
		e.Mark = b
		r.put[key] = e
	}
	return b
}
