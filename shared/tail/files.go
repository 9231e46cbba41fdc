// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"cmp"
	"slices"
)

// File is a file that the tailer knows.
type File struct {
	// Origin is the ID of the file's origin, and Declarations are the names of the selections that choose it.
	Origin       string
	Declarations []string
	// Path is the path as the writer knows it.
	Path string
	// Size is the number of bytes that are known to exist, and Offset how many of them are acknowledged for every reader.
	Size, Offset int64
	// State is one of the words reading, read (to its end), rotated, removed, searching.
	State string
}

// Files returns the files of the origins whose IDs chosen accepts, by origin and then in the order of their paths, and the
// origins that can't be asked now, because a step of theirs is running.
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

// file describes the generation. The caller holds its origin's step.
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

// word returns the generation's state as it is shown to users.
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
