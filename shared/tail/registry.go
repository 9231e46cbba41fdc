// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"path"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/tail/find"
)

// registry is what is known of one origin's files.
type registry struct {
	byInode map[find.Inode]*generation // whose bytes are in their inode, or held
	left    []*generation              // that are Searching or Remembered
	numbers map[uint64][]*generation   // all of them, by inode number
	// active are those of byInode that something is to be done about, or was lately: the others, of which there may be
	// thousands, are observed less often.
	active map[*generation]struct{}
	// latest is, by directory and name as the writer knows them, the youngest file that bore a name.
	latest map[string]map[string]*latestFile
	stored *storedSet // streams that were not met yet
}

// latestFile is what is known of a file that bore a name: a generation, or a stored stream.
type latestFile struct {
	id             find.Inode
	birth, modTime int64
	selections     []*selection // where generation is nil
	generation     *generation  // nil for a stored stream, and for a file that was never opened
	// current is the generation that was found last under the name: an older file than this one where this one is the copy
	// of what that held.
	current *generation
	// older are the files that were there, and are as old, when it was considered which are.
	older      map[olderFile]bool
	considered bool
	// vanished is the scan in which the name was listed and then gone, before anything was known of its file; 0 if it was
	// not.
	vanished int
}

// selectedBy returns the selections that chose the file.
func (b *latestFile) selectedBy() []*selection {
	if b.generation != nil {
		return b.generation.selections
	}
	return b.selections
}

// precedes reports whether the file at rel was made after the one that bore the name: by its birth where that is known,
// else by what was written last. gzip keeps the latter when it compresses, so for a compressed file that is the one to ask.
func (b *latestFile) precedes(s find.Stat, rel string) bool {
	if b.birth == 0 || s.Birth == 0 || strings.HasSuffix(rel, ".gz") {
		return s.ModTime > b.modTime
	}
	if s.Birth == b.birth { // in one tick of the clock
		return b.considered && !b.older[olderFile{s.Inode, s.Birth}]
	}
	return s.Birth > b.birth
}

// olderFile is a file that was found under the name of a rotation, and is older than the file that bore the name.
type olderFile struct {
	id    find.Inode
	birth int64
}

func newRegistry(stored *storedSet) registry {
	return registry{byInode: map[find.Inode]*generation{}, numbers: map[uint64][]*generation{}, active: map[*generation]struct{}{},
		latest: map[string]map[string]*latestFile{}, stored: stored}
}

// all yields each generation.
func (r *registry) all() func(yield func(*generation) bool) {
	return func(yield func(*generation) bool) {
		for _, g := range r.byInode {
			if !yield(g) {
				return
			}
		}
		for _, g := range r.left {
			if !yield(g) {
				return
			}
		}
	}
}

// activeAndLeft yields the generations that something may have to be done about.
func (r *registry) activeAndLeft() func(yield func(*generation) bool) {
	return func(yield func(*generation) bool) {
		for g := range r.active {
			if !yield(g) {
				return
			}
		}
		for _, g := range r.left {
			if !yield(g) {
				return
			}
		}
	}
}

// activate says that there may be something to be done about g.
func (r *registry) activate(g *generation) {
	if g.inPlace() {
		r.active[g] = struct{}{}
	}
}

// add puts g where its inode is.
func (r *registry) add(g *generation) {
	r.byInode[g.Inode] = g
	r.numbers[g.Ino] = append(r.numbers[g.Ino], g)
	r.activate(g)
}

// leave moves g to those whose bytes left their inode. Its number is kept.
func (r *registry) leave(g *generation) {
	r.takeInode(g)
	r.left = append(r.left, g)
}

// remove takes g out of the registry.
func (r *registry) remove(g *generation) {
	r.takeInode(g)
	r.left = slices.DeleteFunc(r.left, func(o *generation) bool { return o == g })
	others := slices.DeleteFunc(r.numbers[g.Ino], func(o *generation) bool { return o == g })
	if r.numbers[g.Ino] = others; len(others) == 0 {
		delete(r.numbers, g.Ino)
	}
}

func (r *registry) takeInode(g *generation) {
	if r.byInode[g.Inode] == g {
		delete(r.byInode, g.Inode)
	}
	delete(r.active, g)
}

// withNumber returns the generations with an inode number, on any device.
func (r *registry) withNumber(ino uint64) []*generation { return r.numbers[ino] }

// setLatest notes that a file bears the name p, if it is the youngest that did.
func (r *registry) setLatest(p string, b *latestFile) {
	dir, name := path.Split(p)
	names := r.latest[dir]
	if names == nil {
		names = map[string]*latestFile{}
		r.latest[dir] = names
	}
	before := names[name]
	b.current = b.generation
	if before != nil {
		if b.birth == before.birth { // precedes asks for files of the same birth only
			b.older = before.older
		}
		if b.current == nil {
			b.current = before.current
		}
	}
	if before == nil || b.birth == 0 || b.birth >= before.birth {
		names[name] = b
	} else {
		before.current = b.current
	}
}

// clearLatest drops the names of generations that are forgotten.
func (r *registry) clearLatest(gone map[*generation]bool) {
	for dir, names := range r.latest {
		for name, b := range names {
			if gone[b.generation] {
				delete(names, name)
			} else if gone[b.current] {
				b.current = nil
			}
		}
		if len(names) == 0 {
			delete(r.latest, dir)
		}
	}
}

// clearVanished drops the names that vanished before a scan, unless a generation was found under them since: an application
// may make files of ever new names, and remove them at once.
func (r *registry) clearVanished(before int) {
	for dir, names := range r.latest {
		for name, b := range names {
			if b.vanished != 0 && b.vanished < before && b.current == nil {
				delete(names, name)
			}
		}
		if len(names) == 0 {
			delete(r.latest, dir)
		}
	}
}

// rotationOf returns which of the files that bore names in a directory a file of it may be a rotation of, by its name.
func rotationOf(names map[string]*latestFile, name string) *latestFile {
	for i := len(name) - 1; i > 0; i-- {
		if strings.IndexByte(".-_", name[i]) >= 0 {
			if b := names[name[:i]]; b != nil && find.RotatedName(name[:i], name) {
				return b
			}
		}
	}
	return nil
}

// originalOf returns the generation that a candidate may be a copy of: one whose name its name begins with.
func (r *registry) originalOf(c *candidate) *generation {
	dir, name := path.Split(c.path())
	names := r.latest[dir]
	if len(names) == 0 {
		return nil
	}
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := len(name) - 1; i > 0; i-- {
		if strings.IndexByte(".-_", name[i]) < 0 {
			continue
		}
		b := names[name[:i]]
		if b == nil && i < len(stem) {
			b = names[name[:i]+ext]
		}
		if b == nil {
			continue
		}
		if b.current == nil || b.current.Inode == c.Inode {
			return nil
		}
		return b.current
	}
	return nil
}
