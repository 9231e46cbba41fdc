// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// lookAll looks at each file that is due, or at each at all.
func (t *Tailer) lookAll(now time.Time, all bool) {
	var due []*file // looking changes the maps
	if since := now.Sub(t.swept); all || since >= t.quietEvery() || since < 0 {
		t.swept = now
		due = slices.Collect(maps.Values(t.files))
	} else {
		for f := range t.active {
			if now.Sub(f.changed) < busyFor || f.wanted.Load() || f.suspect.Load() {
				due = append(due, f)
			}
		}
	}
	t.reopens = 0
	for _, f := range due {
		if err := t.look(f, now); err != nil {
			t.trouble.note(f.name(), err)
		}
	}
}

// look finds out what became of a file since the last look.
func (t *Tailer) look(f *file, now time.Time) error {
	suspect := f.suspect.Load() && f.suspect.Swap(false)
	closed := f.body == nil
	if closed {
		open, err := t.lookClosed(f, now)
		if err != nil || !open {
			return err
		}
		suspect = !f.packed
	}
	if f.packed {
		if suspect {
			t.lose(f, now, "damaged")
		}
		return t.lookLinks(f)
	}
	s, err := statOpen(f.body)
	if err != nil {
		return err
	}
	end := f.end.Load()
	if s.size == end && s.mtime == f.mtime && !suspect {
		if s.links != f.links {
			f.links, f.blocks = s.links, s.blocks
			t.rouse(f)
		}
		return nil
	}
	t.rouse(f)
	same, err := t.verify(f, s)
	if err != nil {
		return err
	}
	if !same && closed {
		t.replaced(f, now)
		return nil
	}
	if !same {
		t.truncated(f, now)
		return nil
	}
	if s.size < end { // cut off behind what was read
		t.count(f, end-s.size, truncated)
	}
	if s.size != end {
		f.changed = now
	}
	f.stat = s
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end.Store(s.size)
	return f.grow()
}

// verify tells whether the file still holds what was read of it. Its size was asked before, so that whatever is in
// doubt is seen here or at the next look.
func (t *Tailer) verify(f *file, s stat) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.provenBy(f.body, s.size)
}

// lookLinks only notices whether the file was removed.
func (t *Tailer) lookLinks(f *file) error {
	s, err := statOpen(f.body)
	if err != nil {
		return err
	}
	if s.links != f.links {
		t.rouse(f)
	}
	f.links, f.blocks, f.size = s.links, s.blocks, s.size
	return nil
}

// lookClosed looks at a file without a handle by its name, and opens it if it changed or is to be read.
func (t *Tailer) lookClosed(f *file, now time.Time) (open bool, err error) {
	if f.volume.root == nil || f.rel == "" {
		return false, nil
	}
	s, err := f.volume.stat(f.rel)
	if errors.Is(err, os.ErrNotExist) || err == nil && s.inode != f.inode {
		return false, nil // the scan finds where it is now, or settle that it is nowhere
	}
	if err != nil {
		return false, err
	}
	if s.links != f.links {
		f.links = s.links
		t.rouse(f)
	}
	same := s.size == f.size && (s.mtime == f.mtime || f.packed)
	if same {
		if !f.wanted.Load() {
			return false, nil
		}
		if t.reopens++; t.reopens > max(1, t.cfg.MaxOpen/2) {
			return false, nil // it would only take the handle from one that was opened for the same reason
		}
	}
	return t.reopen(f, now)
}

// reopen opens a file again that was closed to save a handle.
func (t *Tailer) reopen(f *file, now time.Time) (open bool, err error) {
	h, s, err := t.openWithin(f.volume, f.rel, now)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if s.inode != f.inode {
		return false, h.Close()
	}
	a := &arrival{found: found{s, f.volume, f.rel, f.watches, false}, body: h}
	a.measure()
	same := s.btime == f.btime && a.packed == f.packed
	switch {
	case f.packed:
		same = same && s.size == f.size
	case s.btime == 0 && f.head.n == 0: // nothing was read of it, and nothing but its name says that it is the same file
		same = same && s.size == 0 && (!f.moved() || mayBecome(f.was.rel, f.rel))
	}
	f.wanted.Store(false)
	f.changed = now // so that it is not the next to be closed
	t.rouse(f)
	f.mu.Lock()
	f.body = a.body
	f.mu.Unlock()
	if !same {
		t.replaced(f, now)
	}
	return same, nil
}

// replaced ends a generation of a file whose handle was closed meanwhile: what was just opened was truncated, or the inode
// was given to another file. By its birth it can be told which; where that is not known, only what a pattern selects is
// taken for the file, for anything else may be nobody's business.
func (t *Tailer) replaced(f *file, now time.Time) {
	if s, err := statOpen(f.body); err == nil && f.state != live && (s.btime == 0 || s.btime != f.btime) {
		f.moveBack()
		t.fade(f, now, removed)
		return
	}
	t.truncated(f, now)
}

// truncated ends a generation: the inode holds other bytes now, which are a stream of their own. What was not read may
// be found in the copy that was made before.
func (t *Tailer) truncated(f *file, now time.Time) {
	body := f.detach()
	unread := f.unreadNow()
	t.counts.Truncations++
	d := found{volume: f.volume, rel: f.rel, watches: f.watches, kin: f.state != live}
	if f.moved() && !d.kin {
		d.watches = f.claims
	}
	f.moveBack() // for what may be its copy is judged by its own name
	t.log.Info("file was truncated", "file", f.name(), "read", f.end.Load()-unread, "unread", unread)
	t.fade(f, now, truncated)
	s, err := statOpen(body)
	if err != nil { // the next scan finds it as a new file
		t.trouble.note(f.name(), errors.Join(err, body.Close()))
		return
	}
	d.stat = s
	a := &arrival{found: d, body: body, grew: now}
	a.measure()
	t.held[a.inode] = a // until the scan has found where everything is now
	t.hinted.Store(true)
}

// detach takes the handle from a file and closes nothing.
func (f *file) detach() content {
	f.mu.Lock()
	defer f.mu.Unlock()
	body := f.body
	f.body = nil
	return body
}

// close gives the handle back. The file is known by its head and proof until it is opened again.
func (f *file) close() {
	if body := f.detach(); body != nil {
		_ = body.Close() // opened for reading
	}
}

func (f *file) unreadNow() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unread()
}

// lose makes a read of what is still unread a gap. f.mu is held for writing.
func (f *file) lose(why string) {
	f.limbo, f.lost = false, why
	f.gone.Store(true)
}

// lose says that what is unread of a file will not be read any more.
func (t *Tailer) lose(f *file, now time.Time, why string) {
	f.close()
	f.mu.Lock()
	unread := f.unread()
	f.lose(why)
	f.mu.Unlock()
	if unread > 0 {
		t.count(f, unread, why)
	}
	t.fade(f, now, why)
}

// count reports bytes that nobody will ever read.
func (t *Tailer) count(f *file, bytes int64, why string) {
	f.counted += bytes
	t.counts.Lost += bytes
	t.log.Error("bytes of a file are lost", "file", f.name(), "bytes", bytes, "why", why)
}

func statOpen(c content) (stat, error) {
	switch c := c.(type) {
	case *os.File:
		return statOf(int(c.Fd()), "")
	case *gunzip:
		return statOf(int(c.file.Fd()), "")
	}
	return stat{}, fmt.Errorf("%T has no inode", c)
}
