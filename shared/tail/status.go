// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"cmp"
	"slices"
)

// Counts is what the tailer has met since it started, and what it holds now.
type Counts struct {
	// Generations counts streams that were begun, Truncations those among them that a truncation began.
	Generations, Truncations, Rotations int64
	// Copies counts files that hold what another one held: the copies of copytruncate, and compressed ones.
	Copies int64
	// Lost counts bytes that were truncated or removed before anyone could read them.
	Lost int64
	// Closed counts handles that were given up to open others, Removed the files deleted by DeleteAfter.
	Closed, Removed int64
	// HeldBytes is the disk space of removed files that are still to be read. Files and Open are those that are known,
	// and how many of them are open.
	HeldBytes   int64
	Files, Open int
}

// Status is a file as it is now.
type Status struct {
	Stream, Path string
	// Name is where it is now; empty once it is removed.
	Name, State string
	Size        int64
	// Released is up to where every declaration and output has it acknowledged.
	Released int64
	Open     bool
	// Lost is how many of its bytes nobody could read.
	Lost         int64
	Declarations []string
}

// Counts returns what was counted.
func (t *Tailer) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts
	c.Files, c.Open = len(t.files), t.opened()
	return c
}

// Troubles returns what is wrong at present, by path.
func (t *Tailer) Troubles() []Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trouble.list()
}

// Status returns all files, by path.
func (t *Tailer) Status() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Status
	for f := range t.all() {
		s := Status{Stream: f.key, Path: f.path, State: f.state.String(), Size: f.end.Load(),
			Released: max(0, f.release()), Open: f.body != nil, Lost: f.counted}
		if f.links > 0 && f.state != fading {
			s.Name = f.name()
		}
		for _, w := range f.watches {
			s.Declarations = append(s.Declarations, w.Name)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Stream, b.Stream)) })
	return all
}

// Drain looks once more for everything that is there, and then lets every stream end where its file ends now: an
// unterminated last line becomes a record. It returns when that is arranged; Run has to go on until the pipeline has
// read and sent it, and the files stay open until Close. What is written afterwards is left to the next start.
func (t *Tailer) Drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	now := t.cfg.Now()
	t.reap()
	t.lookAll(now, true)
	t.scan(now)
	t.lookAll(now, true)
	t.settle(now)
	for f := range t.all() {
		f.setEnding(true)
	}
}

// Resume follows the files again after Drain, as if it had not been called. What was taken to be the end of a line stays
// one.
func (t *Tailer) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = false
	for f := range t.all() {
		if f.state == live {
			f.setEnding(false)
		}
	}
}

// Left says what a drain has left: files of which something is not acknowledged, and how many bytes that is.
func (t *Tailer) Left() (files int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reap()
	for f := range t.all() {
		if left := f.end.Load() - max(0, f.release()); left > 0 && len(f.watches) > 0 {
			files++
			bytes += left
		}
	}
	return files, bytes
}
