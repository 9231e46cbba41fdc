// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
)

const (
	// keepFor is how long a position is kept that no declaration asks for: annotations are edited back and forth, and
	// what was turned off on a Friday may be wanted again on Monday.
	keepFor = 7 * 24 * time.Hour
	// retireEvery is between two looks for such positions, besides the one at each change of declarations.
	retireEvery = time.Hour
)

// retire notes in the store since when nobody asks for a position, because its declaration is gone, or its output, or the
// pattern selects the file no more; and forgets it when that is long enough ago. Time passes while the sidecar is down.
func (t *Tailer) retire(now time.Time) {
	if since := now.Sub(t.retired); !t.changed && since >= 0 && since < retireEvery {
		return
	}
	r := retirement{
		store: t.cfg.Store, now: now, put: map[checkpoint.Key]checkpoint.Entry{}, forget: slices.Clone(t.past.useless), known: map[string]bool{},
	}
	files := map[*file][]acked{}
	for _, f := range t.files {
		files[f] = r.review(f.key, f.acked, f.wants)
		for _, v := range f.views {
			r.known[v.id.declaration] = true
		}
	}
	streams := map[*memory][]acked{}
	for _, m := range t.past.streams {
		streams[m] = r.review(m.key, m.acked, func(id viewID) bool { return t.expects(m, id) })
	}
	if r.err == nil {
		r.err = t.cfg.Store.Commit(r.put, r.forget)
	}
	if r.err != nil { // all of it is done again at the next look
		t.trouble.note("checkpoints", r.err)
		return
	}
	t.trouble.clear("checkpoints")
	t.changed, t.retired, t.past.useless = false, now, nil
	for _, k := range r.forget {
		if !r.known[k.Declaration] { // it is as if it had never been there
			delete(t.past.declarations, k.Declaration)
		}
	}
	for f, kept := range files {
		if f.acked = kept; len(kept)+len(f.views)+len(f.watches) == 0 {
			t.drop(f)
		}
	}
	for m, kept := range streams {
		if m.acked = kept; len(kept) == 0 {
			t.past.forget(m)
		}
	}
}

// retirement is what one look finds.
type retirement struct {
	store  Store
	now    time.Time
	put    map[checkpoint.Key]checkpoint.Entry
	forget []checkpoint.Key
	known  map[string]bool // declarations of which a position is kept
	err    error
}

// review returns the positions of a stream that are kept, with the marks that they have from now on.
func (r *retirement) review(stream string, all []acked, wanted func(viewID) bool) []acked {
	kept := make([]acked, 0, len(all))
	for _, a := range all {
		key := checkpoint.Key{Stream: stream, Declaration: a.id.declaration, Output: a.id.output}
		m, err := decodeMark(a.mark)
		unused := time.Unix(m.unused, 0)
		switch age := r.now.Sub(unused); {
		case err != nil: // not in the store yet
		case wanted(a.id):
			if m.unused != 0 {
				m.unused = 0
				a.mark = r.remark(key, m)
			}
		case m.unused == 0 || age < -keepFor: // or the clock was wrong
			m.unused = r.now.Unix()
			a.mark = r.remark(key, m)
		case age >= keepFor:
			r.forget = append(r.forget, key)
			continue
		}
		r.known[a.id.declaration] = true
		kept = append(kept, a)
	}
	return kept
}

// remark gives the entry at key another mark. Its position stays.
func (r *retirement) remark(key checkpoint.Key, m mark) []byte {
	e, ok, err := r.store.Load(key)
	if err != nil {
		r.err = err
	}
	b := m.encode()
	if ok {
		e.Mark = b
		r.put[key] = e
	}
	return b
}

// wants tells whether one of the declarations that f is a file of asks for a view.
func (f *file) wants(id viewID) bool {
	return slices.ContainsFunc(f.watches, func(w *Watch) bool { return w.asksFor(id) })
}

func (w *Watch) asksFor(id viewID) bool {
	return w.Name == id.declaration && slices.Contains(w.Outputs, id.output)
}

// selects tells whether name is a path that w is a declaration of.
func (w *Watch) selects(name string) bool { return w.glob.selects(name) && !excluded(w.Exclude, name) }

// expects tells whether a stream of before the start, if its file were there, would be read for id.
func (t *Tailer) expects(m *memory, id viewID) bool {
	return slices.ContainsFunc(t.watches, func(w *Watch) bool { return w.asksFor(id) && w.selects(m.mark.path) })
}

// drop lets go of a file that is nobody's.
func (t *Tailer) drop(f *file) {
	f.close()
	delete(t.files, f.inode)
	delete(t.active, f)
	t.disinherit(map[*file]bool{f: true})
}
