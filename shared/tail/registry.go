// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"path"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/tail/find"
)

// registry holds the files of one origin.
type registry struct {
	byInode map[find.Inode]*generation // those whose bytes are in their inode
	left    []*generation              // those that are Searching or Remembered
	numbers map[uint64][]*generation   // all generations, by inode number
	// active are those of byInode that have work to be done, or had lately. The others, of which there may be thousands, are
	// observed less often.
	active map[*generation]struct{}
	// latest maps a directory and a name, as the writer knows them, to the youngest file that had the name.
	latest map[string]map[string]*latestFile
	stored *storedSet // streams whose files were not found yet
}

// latestFile describes the youngest file that had a name: a generation, a stored stream, or a file that was never opened.
type latestFile struct {
	id             find.Inode
	birth, modTime int64
	selections     []*selection // if generation is nil
	generation     *generation  // nil for a stored stream, and for a file that was never opened
	// current is the generation that was last found under the name. It is older than this file if this file is a copy of it.
	current *generation
	// older are files with the same birth time that were there, under the names of rotations, when this file was first
	// considered.
	older      map[olderFile]bool
	considered bool
	// vanished is the scan in which the name was listed but its file was gone before it could be opened; 0 otherwise.
	vanished int
}

// selectedBy returns the selections that chose the file.
func (b *latestFile) selectedBy() []*selection {
	if b.generation != nil {
		return b.generation.selections
	}
	return b.selections
}

// precedes reports whether the file at rel is younger than the one that had the name. It compares birth times if both are known,
// else modification times. gzip keeps the modification time of what it compresses, so that one decides for a compressed file.
func (b *latestFile) precedes(s find.Stat, rel string) bool {
	if b.birth == 0 || s.Birth == 0 || strings.HasSuffix(rel, ".gz") {
		return s.ModTime > b.modTime
	}
	if s.Birth == b.birth { // within one clock tick
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

// activeAndLeft yields the generations that may have work to be done.
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

// activate notes that g may have work to be done.
func (r *registry) activate(g *generation) {
	if g.inPlace() {
		r.active[g] = struct{}{}
	}
}

// add registers g under its inode.
func (r *registry) add(g *generation) {
	r.byInode[g.Inode] = g
	r.numbers[g.Ino] = append(r.numbers[g.Ino], g)
	r.activate(g)
}

// leave moves g to the generations whose bytes left their inode. Its inode number stays registered.
func (r *registry) leave(g *generation) {
	r.takeInode(g)
	r.left = append(r.left, g)
}

// remove removes g from the registry.
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

// setLatest notes that a file bears the name p, unless a younger one did.
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

// clearVanished drops the names that vanished before a scan, unless a generation was found under them since. An application may
// create files under ever new names and remove them at once.
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

// rotationOf returns the file, of those that bore names in a directory, that a file called name may be a rotation of; nil if
// there is none.
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

// originalOf returns the generation that a candidate may be a copy of, because the candidate's name extends its name; nil if
// there is none.
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
