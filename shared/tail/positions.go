// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
	"github.com/remora-logs/remora/shared/tail/gunzip"
)

// Store persists which file belongs to which stream, and how far each stream was acknowledged.
type Store interface {
	Each(func(checkpoint.Key, checkpoint.Entry)) error
	Load(checkpoint.Key) (checkpoint.Entry, bool, error)
	Commit(put map[checkpoint.Key]checkpoint.Entry, forget []checkpoint.Key) error
}

const (
	// keepUnused is how long a position is kept that no declaration asks for. Declarations are edited back and forth: what was
	// turned off on a Friday may be wanted again on Monday.
	keepUnused = 7 * 24 * time.Hour
	// expireEvery is between two searches for such positions, besides the one at each change of declarations.
	expireEvery = time.Hour
)

// positions is the only writer of the store besides the pipeline, which moves the positions of readers that are attached.
type positions struct {
	store Store
	// known holds the declarations that have a position.
	known map[declaration]bool
	// useless lists entries whose marks can't be decoded, except those that a newer version wrote.
	useless []checkpoint.Key
	// stored holds, by origin, the streams whose files were not found yet.
	stored  map[string]*storedSet
	changed bool      // declarations have changed since expired
	expired time.Time // when unused positions were last searched for
}

// declaration names a selection of an origin.
type declaration struct{ origin, name string }

// storedStream is a generation in the state Stored, as the store describes it.
type storedStream struct {
	key       string
	mark      fingerprint.Mark // the one with the highest offset
	positions []position
	// replaced means that its file exists but was truncated, so that its content may be in a copy.
	replaced bool
	// deadline is when the search for its file ends; zero while no selection searches for it.
	deadline time.Time
}

// storedSet is the stored streams of one origin.
type storedSet struct {
	streams map[*storedStream]struct{}
	numbers map[uint64][]*storedStream // by inode number, the youngest generation first
	// stems has them by the stem of the name. One stem may have 100,000, f1.log and so on, and each is removed.
	stems map[string]map[*storedStream]struct{}
}

func newStoredSet() *storedSet {
	return &storedSet{streams: map[*storedStream]struct{}{}, numbers: map[uint64][]*storedStream{}, stems: map[string]map[*storedStream]struct{}{}}
}

func (s *storedSet) withNumber(ino uint64) []*storedStream { return s.numbers[ino] }

// related returns the streams that the file at rel, by its name, may hold a copy of.
func (s *storedSet) related(rel string) map[*storedStream]struct{} { return s.stems[find.Stem(rel)] }

func (s *storedSet) add(m *storedStream) {
	s.streams[m] = struct{}{}
	stem := find.Stem(m.mark.Path)
	if s.stems[stem] == nil {
		s.stems[stem] = map[*storedStream]struct{}{}
	}
	s.stems[stem][m] = struct{}{}
	s.numbers[m.mark.Ino] = append(s.numbers[m.mark.Ino], m)
	slices.SortFunc(s.numbers[m.mark.Ino], func(a, b *storedStream) int { // keys of equal length sort by generation
		if len(a.key) != len(b.key) {
			return len(b.key) - len(a.key)
		}
		return strings.Compare(b.key, a.key)
	})
}

func (s *storedSet) remove(m *storedStream) {
	delete(s.streams, m)
	// A copy: the caller may be iterating over the list.
	number, stem := m.mark.Ino, find.Stem(m.mark.Path)
	rest := slices.DeleteFunc(slices.Clone(s.numbers[number]), func(o *storedStream) bool { return o == m })
	if s.numbers[number] = rest; len(rest) == 0 {
		delete(s.numbers, number)
	}
	if delete(s.stems[stem], m); len(s.stems[stem]) == 0 {
		delete(s.stems, stem)
	}
}

// add adds a position and reports whether its mark could be decoded.
func (m *storedStream) add(p position) bool {
	mark, err := fingerprint.Decode(p.mark)
	if err != nil {
		return false
	}
	if len(m.positions) == 0 || mark.Off > m.mark.Off {
		m.mark = mark
	}
	m.positions = append(m.positions, p)
	return true
}

// acknowledged returns the highest position. After a kill it may exceed the mark's offset, because marks are made only at
// commits.
func (m *storedStream) acknowledged() int64 {
	off := m.mark.Off
	for _, p := range m.positions {
		off = max(off, p.off)
	}
	return off
}

// mayBeAt reports whether the candidate may be the stream's file, going by everything but its content.
func (m *storedStream) mayBeAt(c *candidate) bool {
	if m.mark.Birth != 0 && c.Birth != 0 && m.mark.Birth != c.Birth {
		return false // the inode was given to another file
	}
	if m.mark.Dev != c.Dev {
		return m.remounted(c)
	}
	// An empty file is recognised only by its birth time or its name.
	return m.mark.Head.N > 0 || m.mark.Birth != 0 || c.Size == 0 && find.MayBecome(m.mark.Path, c.path())
}

// remounted reports whether the candidate may be the stream's file although its device number differs. Device numbers change
// at a reboot, and whenever a volume is mounted again; inode numbers do not. The old device must no longer be mounted where
// the file was.
func (m *storedStream) remounted(c *candidate) bool {
	if m.mark.Head.N == 0 || m.mark.Birth != c.Birth || !find.MayBecome(m.mark.Path, c.path()) || !c.tree.Covers(m.mark.Path) {
		return false
	}
	device, err := c.tree.DeviceAt(m.mark.Path)
	return err == nil && device == c.Dev
}

// holds reports whether the candidate's content matches the stream's mark.
func (m *storedStream) holds(c *candidate) (bool, error) {
	if !m.mark.Packed {
		if c.Size < m.acknowledged() {
			return false, nil
		}
		return m.mark.Holds(c.body)
	}
	return m.holdsPacked(c)
}

func (m *storedStream) holdsPacked(c *candidate) (bool, error) {
	z, ok := c.body.(*gunzip.Reader)
	switch {
	case !ok || c.Size < m.mark.Size:
		return false, nil
	case m.mark.Tail == 0 && c.Size != m.mark.Size: // marks of an earlier version can't prove that it only grew
		return false, nil
	case m.mark.Tail != 0:
		p, err := fingerprint.ProofAt(z.File(), m.mark.Size)
		if err != nil || !p.Whole() || p.Hash() != m.mark.Tail {
			return false, err
		}
	}
	return m.mark.Head.Holds(sound{c.body})
}

// copiedTo reports whether the candidate is a copy of the stream's file.
func (m *storedStream) copiedTo(c *candidate) bool {
	if m.mark.Packed || m.mark.Head.N == 0 || c.expanded < m.acknowledged() || !c.mayHold(m.mark.Path, m.replaced) {
		return false
	}
	if m.mark.Head.N < leastHead && c.expanded != m.mark.Size {
		return false
	}
	same, err := m.mark.Holds(c.body)
	return err == nil && same
}

// renamedTo reports whether the candidate, which has the stream's inode number, is still its file, rather than one that was
// given the number later. The birth time decides, or the name if that is unknown.
func (m *storedStream) renamedTo(c *candidate) bool {
	return m.mark.Birth != 0 && m.mark.Birth == c.Birth || find.MayBecome(m.mark.Path, c.path())
}

func (m *storedStream) keys() []checkpoint.Key {
	var keys []checkpoint.Key
	for _, p := range m.positions {
		keys = append(keys, p.key(m.key))
	}
	return keys
}

func (p *position) key(stream string) checkpoint.Key {
	return checkpoint.Key{Stream: stream, Declaration: p.id.declaration, Output: p.id.output}
}

// loadPositions reads the store.
func loadPositions(store Store) (*positions, error) {
	p := &positions{store: store, known: map[declaration]bool{}, stored: map[string]*storedSet{}}
	streams := map[string]*storedStream{}
	err := store.Each(func(k checkpoint.Key, e checkpoint.Entry) {
		origin, ok := originOf(k.Stream)
		if !ok {
			return
		}
		p.known[declaration{origin, k.Declaration}] = true
		m := streams[k.Stream]
		if m == nil {
			m = &storedStream{key: k.Stream}
		}
		if m.add(position{readerID{k.Declaration, k.Output}, e.Low, e.Mark}) {
			streams[k.Stream] = m
		} else if len(e.Mark) == 0 || e.Mark[0] <= fingerprint.Version {
			p.useless = append(p.useless, k)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	for key, m := range streams {
		origin, _ := originOf(key)
		p.of(origin).add(m)
	}
	return p, nil
}

// of returns the stored streams of an origin.
func (p *positions) of(origin string) *storedSet {
	s := p.stored[origin]
	if s == nil {
		s = newStoredSet()
		p.stored[origin] = s
	}
	return s
}

// record stores which files belong to which new streams, before any of their bytes are delivered, in one commit. If the
// store can't be written, or a file can't be read, the files are delivered nevertheless: after a restart they would be
// delivered again, but not lost. record is retried until it succeeds.
func (t *Tailer) record(o *origin) {
	put := map[checkpoint.Key]checkpoint.Entry{}
	recorded := map[*generation][]readerID{} // with the readers that could not be recorded
	var failed error
	for g := range o.active {
		all := g.stale && len(g.readers) == 0
		if !g.inPlace() || len(g.unsaved) == 0 && !all {
			continue
		}
		var missed []readerID
		for _, p := range slices.Clone(g.positions) {
			if !all && !slices.Contains(g.unsaved, p.id) {
				continue
			}
			if g.body == nil {
				g.wanted.Store(true) // the mark is made of its bytes
				missed = append(missed, p.id)
			} else if err := t.positions.put(put, g, p); err != nil {
				missed = append(missed, p.id)
				if failed == nil || err.Error() < failed.Error() { // of several, report the same one each time
					failed = err
				}
			}
		}
		recorded[g] = missed
	}
	if len(recorded) == 0 {
		return
	}
	err := t.positions.store.Commit(put, nil)
	t.problems.report(checkpoints, firstError(err, failed))
	if err != nil {
		return
	}
	for g, missed := range recorded {
		g.stale = g.stale && len(g.readers)+len(missed) > 0
		g.unsaved = missed
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// put adds to the map put the entry of a reader that is not attached, which nothing else writes. A stored position stays as it is.
func (p *positions) put(put map[checkpoint.Key]checkpoint.Entry, g *generation, at position) error {
	key := at.key(g.key)
	e, ok, err := p.store.Load(key)
	if err != nil {
		return err
	}
	if !ok {
		e.Position = checkpoint.Position{Low: at.off, Done: at.off}
	}
	g.mu.RLock()
	m, err := g.mark(e.Low)
	g.mu.RUnlock()
	if err != nil {
		return err
	}
	e.Mark = m.Encode()
	put[key] = e
	at.mark = e.Mark
	g.setPosition(at)
	return nil
}

// forget deletes the positions of generations that were remembered for rememberFor, and of stored streams whose deadline has
// passed.
func (t *Tailer) forget(o *origin, now time.Time) {
	old := func(g *generation) bool {
		return g.state == Remembered && len(g.readers) == 0 && now.Sub(g.since) >= rememberFor
	}
	var keys []checkpoint.Key
	for _, g := range o.left {
		if old(g) {
			for _, p := range g.positions {
				keys = append(keys, p.key(g.key))
			}
		}
	}
	overdue := o.overdue(now)
	for _, m := range overdue {
		keys = append(keys, m.keys()...)
	}
	if len(keys) > 0 {
		err := t.positions.store.Commit(nil, keys)
		t.problems.report(checkpoints, err)
		if err != nil {
			return
		}
	}
	gone := map[*generation]bool{}
	for _, g := range slices.Clone(o.left) {
		if old(g) {
			gone[g] = g.fire(Expired)
			o.remove(g)
		}
	}
	if len(gone) > 0 {
		o.clearLatest(gone)
	}
	for _, m := range overdue {
		o.stored.remove(m)
		if lost := m.mark.Size - m.mark.Off; lost > 0 && !m.mark.Packed {
			t.lost(o, m.mark.Path, lost, "truncated or removed while this process was not running")
		}
	}
}

// overdue returns the stored streams whose deadline has passed. The deadline leaves time for a volume that is mounted late.
// overdue costs nothing while none is due.
func (o *origin) overdue(now time.Time) (all []*storedStream) {
	if o.nextDeadline.IsZero() || now.Before(o.nextDeadline) {
		return nil
	}
	for m := range o.stored.streams {
		if !m.deadline.IsZero() && !now.Before(m.deadline) {
			all = append(all, m)
		}
	}
	return all
}

// setDeadlines sets the deadlines of the stored streams that the selections ask for. It is called when selections have
// changed or their first search is complete.
func (o *origin) setDeadlines() {
	o.nextDeadline = time.Time{}
	for m := range o.stored.streams {
		m.deadline = time.Time{}
		for _, s := range o.selections {
			if !s.started || !slices.ContainsFunc(m.positions, func(p position) bool { return p.id.declaration == s.Name }) || !s.selects(m.mark.Path) {
				continue
			}
			if at := s.began.Add(rememberFor); m.deadline.IsZero() || at.Before(m.deadline) {
				m.deadline = at
			}
		}
		if !m.deadline.IsZero() && (o.nextDeadline.IsZero() || m.deadline.Before(o.nextDeadline)) {
			o.nextDeadline = m.deadline
		}
	}
}
