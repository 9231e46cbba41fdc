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

// generation is the content of one inode from its creation, or its last truncation, to the next. If the content moves to another
// inode, such as a copy made by copytruncate or a compressed file, the generation moves along.
//
// Only a step uses it, except for the atomics and the fields that mu guards.
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
	unsaved    []readerID // readers whose positions are not stored yet
	known      fingerprint.Proof
	packed     bool // it is compressed; a step changes it holding mu

	state    State
	changed  time.Time // when it last grew
	since    time.Time // when state was entered
	leftScan int       // the first scan that began after its bytes had left the inode
	why      string    // why its bytes left the inode, or were given up
	stale    bool      // its stored marks name another inode, or do not know how it begins
	was      place     // where it was before its inode was found under another name; empty once that was confirmed
	claims   []*selection
	located  int   // the version of its directory's listing in which its name was searched for
	dropped  int64 // bytes below this offset were dropped from the page cache

	end     atomic.Int64 // the known size of the content, in bytes
	wanted  atomic.Bool  // a reader needs body
	suspect atomic.Bool  // a reader found other bytes than it had read before
	gone    atomic.Bool  // lost is set
	wake    func()

	mu        sync.RWMutex
	body      content // nil while the file is closed
	head      fingerprint.Head
	searching bool   // its bytes have left the inode, and a copy of them is being searched for
	lost      string // why the unread bytes can't be read any more; empty while they can
	torn      string // of a compressed file: why no more can be expanded; empty while more can
}

// Why bytes are lost, in a word: it is part of the record that reports them.
const (
	truncated = "truncated"
	removed   = "removed"
	damaged   = "damaged"
	cutOff    = "compressed file ends too early"
)

// position is the offset that a reader had reached when it was detached, or when the process stopped.
type position struct {
	id   readerID
	off  int64
	mark []byte // as it is in the store
}

// readerID identifies a reader of a generation by its declaration and output.
type readerID struct{ declaration, output string }

// place is a name in a tree.
type place struct {
	tree *find.Tree
	rel  string
}

func (g *generation) String() string { return g.path }

// fire applies an event and reports whether the state has changed.
func (g *generation) fire(e Event) bool {
	n, ok := next(g.state, e)
	if ok {
		g.state = n
	}
	return ok
}

// inPlace reports whether the generation's bytes are still in their inode, which has a name or is held open.
func (g *generation) inPlace() bool {
	return g.state == Active || g.state == Rotated || g.state == Held
}

// movedTo notes that the inode was found under another name. If the file is closed, its inode number may belong to another file
// by now, so the previous name is kept until observe has confirmed the new one.
func (g *generation) movedTo(tree *find.Tree, rel string) {
	if !g.moved() {
		g.was = place{g.tree, g.rel}
	}
	g.tree, g.rel = tree, rel
}

// moved reports whether a new name awaits confirmation.
func (g *generation) moved() bool { return g.was.tree != nil }

// moveBack undoes movedTo: another file was found there.
func (g *generation) moveBack() {
	if g.moved() {
		g.tree, g.rel = g.was.tree, g.was.rel
		g.was, g.claims = place{}, nil
	}
}

// name returns the path that the file has now, or had last.
func (g *generation) name() string {
	if g.tree == nil || g.rel == "" {
		return g.path
	}
	return g.tree.Path(g.rel)
}

// owed is the work that remains for the readers of a generation.
type owed struct {
	unread     int64 // bytes that the slowest reader has not read
	unacked    int64 // bytes that the slowest wanted reader has not acknowledged
	incomplete bool  // a wanted reader has no position yet
}

// done reports whether every wanted reader has delivered everything.
func (o owed) done() bool { return o.unacked == 0 && !o.incomplete }

// owed computes the remaining work. The caller must not hold mu for writing.
func (g *generation) owed() owed {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.owedNow()
}

// tryOwed is like owed, but fails instead of waiting for mu. A writer may wait for it behind a read that does not return.
func (g *generation) tryOwed() (o owed, ok bool) {
	if !g.mu.TryRLock() {
		return o, false
	}
	defer g.mu.RUnlock()
	return g.owedNow(), true
}

// owedNow is owed for a caller that holds mu.
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

// furthest returns the proof with the highest offset. Together with the head it identifies the content. The caller holds mu for
// writing.
func (g *generation) furthest() *fingerprint.Proof {
	p := &g.known
	for _, r := range g.readers {
		if r.proof.At > p.At {
			p = &r.proof
		}
	}
	return p
}

// read returns the highest offset that any reader has read to.
func (g *generation) read() (to int64) {
	for _, r := range g.readers {
		to = max(to, r.read.Load())
	}
	for _, p := range g.positions {
		to = max(to, p.off)
	}
	return to
}

// provenBy reports whether c, which has size bytes, matches the generation's head and furthest proof.
func (g *generation) provenBy(c io.ReaderAt, size int64) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holds(c, size)
}

// holds is provenBy for a caller that holds mu for writing.
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

// reselect replaces each selection by the one of byKey with the same name and pattern, and detaches the readers of those
// that have none.
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

// detach asks the pipeline to detach the readers for which some returns true. They may be attached again later.
func (g *generation) detach(some func(*reader) bool) {
	for _, r := range g.readers {
		if some(r) && !r.detached.Swap(true) {
			r.detach()
		}
	}
}

func (g *generation) detachAll() { g.detach(func(*reader) bool { return true }) }

// setEnding tells the readers whether the present end of the file is final.
func (g *generation) setEnding(ending bool) {
	for _, r := range g.readers {
		r.ending.Store(ending)
	}
}

// takeBody removes the open file from the generation and returns it. The caller closes it.
func (g *generation) takeBody() content {
	g.mu.Lock()
	defer g.mu.Unlock()
	body := g.body
	g.body = nil
	return body
}

// close closes the file. Until it is opened again, head and proof identify the generation. close waits for reads that have begun.
func (g *generation) close() {
	if body := g.takeBody(); body != nil {
		_ = body.Close() // opened for reading
	}
}

// tryClose is like close, but fails instead of waiting for a read, which may never return if the file system does not answer. It
// reports whether it closed the file.
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

// abandon closes the file of a generation that is no longer used. It does not wait: if a read has begun, the file is closed once
// that returns.
func (g *generation) abandon() {
	if !g.tryClose() {
		go g.close()
	}
}

// forfeit turns the unread bytes into a gap, with the reason why. The caller holds mu for writing.
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

// mark returns the mark of the generation at off, for the store. The caller holds mu, at least for reading.
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
	if z, ok := g.body.(*gunzip.Reader); ok { // the compressed bytes prove that it only grew, without expanding it again
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

// growHead extends the head to more of the file, up to fingerprint.HeadSize. The caller holds mu for writing and has checked that
// the present head matches.
//
// The stored mark of an empty file holds nothing but the inode, which does not identify a copy. It is marked as stale as
// soon as the head is known: the process may be killed before an acknowledgement would store it.
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

// sound reads a content and reports a damaged or missing end of a compressed file as io.EOF.
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

// statBody returns the status of a content's file.
func statBody(c content) (find.Stat, error) {
	fd, err := descriptor(c)
	if err != nil {
		return find.Stat{}, err
	}
	return find.StatFD(fd)
}

// sizeNow estimates the expanded size of a compressed generation: what was expanded so far, and at least as many bytes as
// remain of the compressed file, which has size bytes.
func sizeNow(z *gunzip.Reader, size int64) int64 {
	p := z.Progress()
	if p.Complete {
		return p.Expanded
	}
	return p.Expanded + max(1, size-p.Consumed)
}
