// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"cmp"
	"slices"
)

// File is a file that is known, as of now.
type File struct {
	// Origin and Declarations say who follows it: an origin's ID, and names of its selections.
	Origin       string
	Declarations []string
	// Path is the one that the writer knows.
	Path string
	// Size is how many bytes are known to be there, Offset how many of them every reader has had acknowledged.
	Size, Offset int64
	// State is a word: reading, read (to its end), rotated, removed, searching.
	State string
}

// Files returns the files of the origins that chosen chooses by their ID, in the order of origin and path, and the
// origins that did not answer at once, because a step of theirs waits for a file system.
func (t *Tailer) Files(chosen func(origin string) bool) (files []File, busy []string) {
	for _, o := range *t.list.Load() {
		if !chosen(o.id()) {
			continue
		}
		if !o.step.TryLock() {
			busy = append(busy, o.id())
			continue
		}
		from := len(files)
		for g := range o.all() {
			if len(g.selections) > 0 {
				files = append(files, g.file(o.id()))
			}
		}
		o.step.Unlock()
		slices.SortFunc(files[from:], func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	}
	return files, busy
}

// file describes the generation. Its origin's step lock is held.
func (g *generation) file(origin string) File {
	owed := g.owed()
	f := File{Origin: origin, Path: g.path, Size: g.end.Load(), State: g.word(owed)}
	f.Offset = max(0, f.Size-owed.unacked)
	for _, s := range g.selections {
		if !slices.Contains(f.Declarations, s.Name) {
			f.Declarations = append(f.Declarations, s.Name)
		}
	}
	return f
}

// word is the generation's state as people see it.
func (g *generation) word(o owed) string {
	switch g.state {
	case Active:
		if o.done() {
			return "read"
		}
		return "reading"
	case Rotated:
		return "rotated"
	case Held:
		return "removed"
	}
	return "searching"
}
