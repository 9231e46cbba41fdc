// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
	"github.com/remora-logs/remora/shared/tail/gunzip"
)

// content is what a stream's bytes are read from: an open file, or what a compressed one expands to.
type content interface {
	io.ReaderAt
	io.Closer
}

// generation is what one inode holds from its creation, or its last truncation, to the next. Where its bytes move to
// another inode, into the copy that copytruncate makes or into a compressed file, it moves along.
//
// Only a step uses it, except for what mu guards and the atomics.
type generation struct {
	key       string // of the stream
	path      string // where it was first seen, as the writer knows it: the source of its records
	find.Stat        // as observed last; a step changes it holding mu

	tree       *find.Tree
	rel        string // where it is now, as far as is known; empty once it is removed
	seen       int    // the scan in which a selection last chose its name
	selections []*selection
	readers    []*reader
	positions  []position // of readers that are not attached
	unsaved    []readerID // that the store does not know yet
	known      fingerprint.Proof
	packed     bool // it is compressed; a step changes it holding mu

	state    State
	changed  time.Time // when it last grew
	since    time.Time // when state was entered
	leftScan int       // the scan that began after its bytes had left
	why      string    // its bytes left, or were given up
	stale    bool      // its stored marks name another inode, or do not know how it begins
	was      place     // where it was before its inode was found under another name; empty once that was confirmed
	claims   []*selection
	located  int   // the version of its directory's listing in which its name was searched for
	dropped  int64 // below this the page cache was given back

	end     atomic.Int64 // bytes that are known to be there
	wanted  atomic.Bool  // a reader needs body
	suspect atomic.Bool  // a reader found other bytes than those it read before
	gone    atomic.Bool  // lost is set
	wake    func()

	mu        sync.RWMutex
	body      content // nil while the file is closed
	head      fingerprint.Head
	searching bool   // its bytes are gone from where they were; whether they moved is being found out
	lost      string // why what is unread can't be read any more; empty while it can
	torn      string // of a compressed file: why nothing can be read after what was expanded; empty while something can
}

// Why bytes are lost, in a word: it is part of the record that reports them.
const (
	truncated = "truncated"
	removed   = "removed"
	damaged   = "damaged"
	cutOff    = "compressed file ends too early"
)

// position is how far a reader had come when it was detached, or when this process was stopped.
type position struct {
	id   readerID
	off  int64
	mark []byte // as it is in the store
}

// readerID names a reader of a generation: a declaration on its way to an output.
type readerID struct{ declaration, output string }

// place is a name in a tree.
type place struct {
	tree *find.Tree
	rel  string
}

func (g *generation) String() string { return g.path }

// fire takes the generation to the state that follows an event, and reports whether it is another one.
func (g *generation) fire(e Event) bool {
	n, ok := next(g.state, e)
	if ok {
		g.state = n
	}
	return ok
}

// inPlace reports whether the generation's bytes are where they were, or are held by a handle.
func (g *generation) inPlace() bool {
	return g.state == Active || g.state == Rotated || g.state == Held
}

// movedTo notes that the inode was found under another name. Without a handle the number may have been given to another
// file, so the previous name is kept until observe has confirmed it.
func (g *generation) movedTo(tree *find.Tree, rel string) {
	if !g.moved() {
		g.was = place{g.tree, g.rel}
	}
	g.tree, g.rel = tree, rel
}

// moved reports whether the name is still to be confirmed.
func (g *generation) moved() bool { return g.was.tree != nil }

// moveBack undoes movedTo: another file was found there.
func (g *generation) moveBack() {
	if g.moved() {
		g.tree, g.rel = g.was.tree, g.was.rel
		g.was, g.claims = place{}, nil
	}
}

// name is the path that it has now, or had last.
func (g *generation) name() string {
	if g.tree == nil || g.rel == "" {
		return g.path
	}
	return g.tree.Path(g.rel)
}

// owed is what is still to be done for the readers of a generation.
type owed struct {
	unread     int64 // bytes that the slowest reader has still to read
	unacked    int64 // bytes that the slowest wanted reader has not acknowledged
	incomplete bool  // a reader that is asked for has no position yet
}

// done reports whether everything that is asked for was delivered.
func (o owed) done() bool { return o.unacked == 0 && !o.incomplete }

// owed computes what is owed at present. mu must not be held for writing.
func (g *generation) owed() owed {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.owedNow()
}

// tryOwed is owed where nobody waits to change the generation, as who makes a mark does while a read does not return.
func (g *generation) tryOwed() (o owed, ok bool) {
	if !g.mu.TryRLock() {
		return o, false
	}
	defer g.mu.RUnlock()
	return g.owedNow(), true
}

// owedNow is owed where mu is held.
func (g *generation) owedNow() owed {
	end := g.end.Load()
	read, acked := end, end
	for _, r := range g.readers {
		if !r.done.Load() {
			read = min(read, max(r.read.Load(), r.released.Load()))
		}
	}
	var o owed
	for _, s := range g.selections {
		for _, out := range s.Outputs {
			id := readerID{s.Name, out}
			if r := g.reader(id); r != nil {
				acked = min(acked, r.released.Load())
			} else if p, ok := g.position(id); ok {
				acked, read = min(acked, p.off), min(read, p.off)
			} else {
				o.incomplete = true
			}
		}
	}
	o.unread, o.unacked = end-read, end-acked
	return o
}

// furthest is the proof that reaches furthest: with the head it is what is known of the content. mu is held for writing.
func (g *generation) furthest() *fingerprint.Proof {
	p := &g.known
	for _, r := range g.readers {
		if r.proof.At > p.At {
			p = &r.proof
		}
	}
	return p
}

// read is how far the generation was read by any reader.
func (g *generation) read() (to int64) {
	for _, r := range g.readers {
		to = max(to, r.read.Load())
	}
	for _, p := range g.positions {
		to = max(to, p.off)
	}
	return to
}

// provenBy reports whether c, which has size bytes, holds what is known of the generation.
func (g *generation) provenBy(c io.ReaderAt, size int64) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holds(c, size)
}

// holds is provenBy where mu is held for writing.
func (g *generation) holds(c io.ReaderAt, size int64) (bool, error) {
	p := g.furthest()
	if size < int64(g.head.N) || size < p.At {
		return false, nil
	}
	c = sound{c}
	same, err := g.head.Holds(c)
	if err != nil || !same {
		return false, err
	}
	return p.Holds(c)
}

func (g *generation) reader(id readerID) *reader {
	for _, r := range g.readers {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (g *generation) position(id readerID) (position, bool) {
	for _, p := range g.positions {
		if p.id == id {
			return p, true
		}
	}
	return position{}, false
}

func (g *generation) setPosition(p position) {
	for i := range g.positions {
		if g.positions[i].id == p.id {
			g.positions[i] = p
			return
		}
	}
	g.positions = append(g.positions, p)
}

// wants reports whether one of the selections that chose the generation asks for a reader.
func (g *generation) wants(id readerID) bool {
	return slices.ContainsFunc(g.selections, func(s *selection) bool { return s.wants(id) })
}

// reselect replaces selections by those of the same name and pattern, and detaches the readers of the others.
func (g *generation) reselect(byKey map[selectionKey]*selection) {
	var kept []*selection
	for _, s := range g.selections {
		if n := byKey[s.key()]; n != nil {
			kept = append(kept, n)
		}
	}
	g.detach(func(r *reader) bool {
		return !slices.ContainsFunc(kept, func(s *selection) bool { return s.wants(r.id) && slices.Contains(g.selections, s) })
	})
	g.selections = kept
}

// detach asks the pipeline to let go of some readers. They may be attached again later.
func (g *generation) detach(some func(*reader) bool) {
	for _, r := range g.readers {
		if some(r) && !r.detached.Swap(true) {
			r.detach()
		}
	}
}

func (g *generation) detachAll() { g.detach(func(*reader) bool { return true }) }

// setEnding tells the readers whether the file ends where it ends now.
func (g *generation) setEnding(ending bool) {
	for _, r := range g.readers {
		r.ending.Store(ending)
	}
}

// takeBody takes the handle from the generation and does not close it.
func (g *generation) takeBody() content {
	g.mu.Lock()
	defer g.mu.Unlock()
	body := g.body
	g.body = nil
	return body
}

// close gives the handle back. The generation is known by its head and proof until it is opened again. It waits for a read
// that has begun.
func (g *generation) close() {
	if body := g.takeBody(); body != nil {
		_ = body.Close() // opened for reading
	}
}

// tryClose is close where nobody reads at the moment: of a file system that does not answer, a read may never return. It
// reports whether that was so.
func (g *generation) tryClose() bool {
	if !g.mu.TryLock() {
		return false
	}
	body := g.body
	g.body = nil
	g.mu.Unlock()
	if body != nil {
		_ = body.Close() // opened for reading
	}
	return true
}

// abandon is close of a generation that is used no more. It waits for nobody: where a read has begun the handle is given
// back when that returns.
func (g *generation) abandon() {
	if !g.tryClose() {
		go g.close()
	}
}

// forfeit makes a read of what is still unread a gap. mu is held for writing.
func (g *generation) forfeit(why string) {
	g.searching, g.lost = false, why
	g.gone.Store(true)
}

// ask sets a flag for the tailer and wakes it.
func (g *generation) ask(flag *atomic.Bool) {
	if !flag.Swap(true) {
		g.wake()
	}
}

// mark describes the generation at off, for the store. mu is held, at least for reading.
func (g *generation) mark(off int64) (fingerprint.Mark, error) {
	m := fingerprint.Mark{
		Dev: g.Dev, Ino: g.Ino, Birth: g.Birth, ModTime: g.ModTime, Off: off, Size: g.end.Load(),
		Head: g.head, Packed: g.packed, Path: g.path,
	}
	if g.body == nil {
		return m, fmt.Errorf("%s is closed", g)
	}
	var from io.ReaderAt = g.body
	at := off
	if z, ok := g.body.(*gunzip.Reader); ok { // what it expands to need not be read again to prove that it only grew
		m.Size = g.Size
		from, at = z.File(), m.Size
	}
	p, err := fingerprint.ProofAt(from, at)
	if err != nil {
		return m, fmt.Errorf("%s: %w", g, err)
	}
	if !p.Whole() {
		return m, fmt.Errorf("%s ends before offset %d", g, at)
	}
	m.Tail = p.Hash()
	return m, nil
}

// growHead makes the head's hash cover more of the file, up to fingerprint.HeadSize. mu is held for writing, and the head
// holds.
//
// Of a file that was empty the store knows nothing but the inode, by which no copy can be told. It must learn how the
// file begins as soon as that is seen: the acknowledgement that would tell it otherwise may not come before a kill.
func (g *generation) growHead() error {
	if g.head.N == fingerprint.HeadSize || int64(g.head.N) >= g.end.Load() {
		return nil
	}
	h, err := fingerprint.HeadOf(sound{g.body}, int(min(fingerprint.HeadSize, g.end.Load())))
	if err == nil && h.N > g.head.N {
		g.stale = g.stale || g.head.N == 0
		g.head = h
	}
	return err
}

// sound is a content of which a damaged or missing end is no error: it ends there.
type sound struct{ content io.ReaderAt }

func (s sound) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.content.ReadAt(p, off)
	if _, packed := s.content.(*gunzip.Reader); packed && err != nil && !gunzip.IsRead(err) {
		err = io.EOF
	}
	return n, err
}

// descriptor returns the file descriptor of a content.
func descriptor(c content) (int, error) {
	if z, ok := c.(*gunzip.Reader); ok {
		c = z.File()
	}
	f, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return 0, fmt.Errorf("%T is not a file", c)
	}
	return int(f.Fd()), nil
}

// statBody asks for the file of a content.
func statBody(c content) (find.Stat, error) {
	fd, err := descriptor(c)
	if err != nil {
		return find.Stat{}, err
	}
	return find.StatFD(fd)
}

// sizeNow is up to where a compressed generation may be read, as far as can be told: what was expanded, and at least as
// many bytes as are left of the compressed file.
func sizeNow(z *gunzip.Reader, size int64) int64 {
	p := z.Progress()
	if p.Complete {
		return p.Expanded
	}
	return p.Expanded + max(1, size-p.Consumed)
}
