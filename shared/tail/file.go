// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"time"
)

// file is one generation of a log: what one inode holds from its creation, or its last truncation, to the next. Where
// its bytes move to another inode, into the copy that copytruncate makes or into a compressed file, it moves along.
//
// The tailer's lock guards all of it, save what mu guards and the atomics.
type file struct {
	key  string // of the stream
	path string // where it was first seen: the source of its records
	stat        // as of the last look

	volume  *volume
	rel     string // where it is now, as far as is known; empty once it is removed
	seen    int    // the scan in which a pattern last selected it
	watches []*Watch
	views   []*view
	acked   []acked  // of views that are not attached
	unsaved []viewID // that the store does not know yet
	known   proof    // of views that are not attached, and of the time before a restart
	packed  bool

	state   state
	changed time.Time // when it last grew
	since   time.Time // when state was entered
	why     string    // it is fading
	counted int64     // bytes of it that were reported as lost
	remark  bool      // its marks in the store name another inode, or do not know how it begins
	was     place     // where it was before its inode was found under another name; empty once a look has confirmed that
	claims  []*Watch  // that select the other name
	located int       // the version of its directory's listing in which its name was looked for
	drop    int64     // below this the page cache was given back

	end     atomic.Int64 // bytes that are known to be there
	wanted  atomic.Bool  // a reader needs body
	suspect atomic.Bool  // a reader found other bytes than those it read before
	gone    atomic.Bool  // lost is set
	wake    func()

	mu    sync.RWMutex
	body  content // nil while the file is closed
	head  head
	limbo bool   // its bytes are gone from where they were; whether they moved is being found out
	lost  string // why what is unread can't be read any more; empty while it can
}

// state is where a file is in its life.
type state uint8

const (
	live    state = iota // a pattern selects it
	rotated              // no pattern selects it any more, but it still exists, or its handle does
	fading               // its bytes are gone: truncated, or removed and read to the end. What it held is still remembered
)

func (s state) String() string { return [...]string{"live", "rotated", "removed"}[s] }

// Why bytes are lost, in a word: it is part of the record that stands for them.
const (
	truncated = "truncated"
	removed   = "removed"
)

// acked is how far a view had come when it was detached, or when the sidecar stopped.
type acked struct {
	id   viewID
	off  int64
	mark []byte // as it is in the store
}

// viewID names a view of a file: a declaration on its way to an output.
type viewID struct{ declaration, output string }

// place is a name in a volume.
type place struct {
	volume *volume
	rel    string
}

func (f *file) String() string { return f.path }

// movedTo notes that f's inode was found under another name. Without a handle of f the number may have been given to
// another file, so the name before is not forgotten until a look has told.
func (f *file) movedTo(v *volume, rel string) {
	if !f.moved() {
		f.was = place{f.volume, f.rel}
	}
	f.volume, f.rel = v, rel
}

// moved tells whether f's name is still to be confirmed.
func (f *file) moved() bool { return f.was.volume != nil }

// moveBack takes a name from f that turned out to be another file's: it was not f that was found there.
func (f *file) moveBack() {
	if f.moved() {
		f.volume, f.rel = f.was.volume, f.was.rel
		f.was, f.claims = place{}, nil
	}
}

// name is the path that it has now, or had last.
func (f *file) name() string {
	if f.volume == nil || f.rel == "" {
		return f.path
	}
	return path.Join(f.volume.base, f.rel)
}

// furthest is the proof that reaches furthest: with the head it is what is known of the content. f.mu is held for
// writing.
func (f *file) furthest() *proof {
	p := &f.known
	for _, v := range f.views {
		if v.proof.at > p.at {
			p = &v.proof
		}
	}
	return p
}

// unread is how many bytes the view that is least far has still to read. f.mu is held.
func (f *file) unread() int64 {
	least := f.end.Load()
	for _, v := range f.views {
		if !v.done.Load() {
			least = min(least, max(v.read, v.released.Load()))
		}
	}
	for _, a := range f.acked {
		if f.wants(a.id) {
			least = min(least, a.off)
		}
	}
	return f.end.Load() - least
}

// provenBy tells whether c holds what is known of the file. c has size bytes. f.mu is held for writing.
func (f *file) provenBy(c content, size int64) (bool, error) {
	p := f.furthest()
	if size < int64(f.head.n) || size < p.at {
		return false, nil
	}
	same, err := f.head.holds(c)
	if err != nil || !same {
		return false, err
	}
	return p.holds(c)
}

// release is the offset below which no view will read again, or -1 where a view has still to be attached.
func (f *file) release() int64 {
	least := f.end.Load()
	for _, w := range f.watches {
		for _, o := range w.Outputs {
			id := viewID{w.Name, o}
			if v := f.view(id); v != nil {
				least = min(least, v.released.Load())
			} else if a, ok := f.ackedOf(id); ok {
				least = min(least, a.off)
			} else {
				return -1
			}
		}
	}
	return least
}

func (f *file) view(id viewID) *view {
	for _, v := range f.views {
		if v.id == id {
			return v
		}
	}
	return nil
}

func (f *file) ackedOf(id viewID) (acked, bool) {
	for _, a := range f.acked {
		if a.id == id {
			return a, true
		}
	}
	return acked{}, false
}

func (f *file) setAcked(a acked) {
	for i := range f.acked {
		if f.acked[i].id == a.id {
			f.acked[i] = a
			return
		}
	}
	f.acked = append(f.acked, a)
}

// mark describes the file at off, for the store. The caller holds f.mu, at least for reading.
func (f *file) mark(off int64) (mark, error) {
	m := mark{
		id: f.inode, btime: f.btime, mtime: f.mtime, off: off, size: f.end.Load(),
		head: f.head, packed: f.packed, path: f.path,
	}
	if f.packed {
		m.size = f.size // a compressed file does not change; what it expands to need not be read again to prove that
		return m, nil
	}
	if f.body == nil {
		return m, fmt.Errorf("%s is closed", f)
	}
	p, err := proofAt(f.body, off)
	if err != nil {
		return m, fmt.Errorf("%s: %w", f, err)
	}
	if p.n != int(min(off, tailSize)) {
		return m, fmt.Errorf("%s ends before offset %d", f, off)
	}
	m.tail = p.hash()
	return m, nil
}

// grow makes the head's hash cover more of the file, up to headSize. f.mu is held for writing, and the head holds.
//
// Of a file that was empty the store knows nothing but the inode, by which no copy can be told. It has to learn how the
// file begins as soon as that is seen: the acknowledgement that would tell it otherwise may not come before a kill.
func (f *file) grow() error {
	if f.head.n == headSize || int64(f.head.n) >= f.end.Load() {
		return nil
	}
	h, err := headOf(f.body, int(min(headSize, f.end.Load())))
	if err == nil && h.n > f.head.n {
		f.remark = f.remark || f.head.n == 0
		f.head = h
	}
	return err
}
