// SPDX-License-Identifier: Apache-2.0

package find

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxDepth bounds the depth of a search, in directories.
	maxDepth = 32
	// maxDirs and maxFiles bound what one search visits. Beyond them it ends with an error.
	maxDirs  = 10_000
	maxFiles = 100_000
)

// Match is a name that a pattern selects.
type Match struct {
	Rel string // below the tree's base
	// Known is the inode that the name last led to. The caller sets it.
	Known Inode
	// Pending means that the caller must look the name up again even if its directory is unchanged.
	Pending bool
}

// selection is what is searched for in a directory: a pattern and the segments of it that are left.
type selection struct {
	pattern *Pattern
	rest    string
}

// selected is what a pattern selects in one directory.
type selected struct {
	version int // the listing's
	files   []*Match
	dirs    []descent
}

// descent is a directory to be searched for the rest of a pattern.
type descent struct {
	rel   string
	rest  [][]string
	key   string // rest as text
	above *level
}

// level is a directory on the path to another one.
type level struct {
	id    Inode
	depth int
	above *level
}

// Search is one pass of a pattern through a tree, possibly in several steps.
type Search struct {
	tree    *Tree
	pattern *Pattern
	stack   []descent
	// visited holds the directories that were searched, with the rest of the pattern. A directory is searched only once for the
	// same rest, under the name that comes first. It is nil if every name matters, because some are excluded.
	visited     map[visit]struct{}
	indirect    bool // a directory was reached through a link, could not be searched, or exists only in a lower layer
	dirs, files int
	errs        []error
}

type visit struct {
	id   Inode
	rest string
}

// Search starts a search of the tree for what p selects. If everyName is set, a directory is searched under each of its names;
// loops are not followed even then.
func (t *Tree) Search(p *Pattern, everyName bool) *Search {
	s := &Search{tree: t, pattern: p}
	if !everyName {
		s.visited = map[visit]struct{}{}
	}
	s.stack = append(s.stack, descent{rel: ".", rest: p.alternatives, key: restKey(p.alternatives)})
	return s
}

// Direct reports whether each directory that was searched so far was found without links and is the one in which new names
// appear. No events tell that other directories were replaced.
func (s *Search) Direct() bool { return !s.indirect }

// Step continues the search until budget is used up, and reports whether the search is complete. If it is, err says what could
// not be searched. A directory costs 1 and a sixteenth of its number of entries, and a visited name costs 1; visit may subtract
// more. enter is called for each directory with its open handle.
func (s *Search) Step(budget *int, visit func(*Match), enter func(*os.File, Inode)) (done bool, err error) {
	for len(s.stack) > 0 && *budget > 0 {
		d := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if err := s.search(d, budget, visit, enter); err != nil {
			s.indirect = true
			first := d.above == nil
			gone := errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) // removed meanwhile, or a link to a file
			if first || !gone {
				s.errs = append(s.errs, err)
			}
		}
	}
	if len(s.stack) > 0 {
		return false, nil
	}
	return true, errors.Join(s.errs[:min(len(s.errs), 3)]...)
}

func (s *Search) search(d descent, budget *int, visit func(*Match), enter func(*os.File, Inode)) error {
	l, open, err := s.tree.list(d.rel)
	if err != nil && l == nil {
		return err
	}
	if s.dirs++; s.dirs > maxDirs {
		s.stack = nil
		return fmt.Errorf("%s: more than %d directories to search, the others are skipped", s.tree.base, maxDirs)
	}
	s.indirect = s.indirect || open.at != s.tree.Path(d.rel) || !open.upper
	*budget -= 1 + len(l.entries)/16
	if !s.enter(d, l.id) {
		return nil
	}
	enter(open.layers[0], l.id)
	m := l.selectedBy(selection{s.pattern, d.key}, d)
	for _, c := range m.files {
		*budget--
		visit(c)
	}
	if s.files += len(m.files); s.files > maxFiles {
		s.stack = nil
		return fmt.Errorf("%s: more than %d files, the others are skipped", s.tree.base, maxFiles)
	}
	here := &level{id: l.id, above: d.above}
	if d.above != nil {
		here.depth = d.above.depth + 1
	}
	if here.depth < maxDepth {
		for _, sub := range slices.Backward(m.dirs) { // the last one pushed is searched first
			sub.above = here
			s.stack = append(s.stack, sub)
		}
	}
	if l.over {
		err = errors.Join(err, fmt.Errorf("%s holds more than %d names, the others are skipped", s.tree.Path(d.rel), maxEntries))
	}
	return err
}

// enter reports whether a directory must be searched: it does not contain itself through a link, and was not searched already.
func (s *Search) enter(d descent, id Inode) bool {
	for l := d.above; l != nil; l = l.above {
		if l.id == id {
			return false
		}
	}
	if s.visited == nil {
		return true
	}
	v := visit{id, d.key}
	if _, ok := s.visited[v]; ok {
		return false
	}
	s.visited[v] = struct{}{}
	return true
}

// selectedBy returns what a pattern selects in l. If l was read again, known names keep their Known inode but become Pending.
func (l *listing) selectedBy(key selection, d descent) *selected {
	before := l.selected[key]
	if before != nil && before.version == l.version {
		return before
	}
	m := &selected{version: l.version}
	known := map[string]*Match{}
	if before != nil {
		for _, c := range before.files {
			known[c.Rel] = c
		}
	}
	var links []descent
	for _, e := range l.entries {
		rel := path.Join(d.rel, e.Name)
		rest, isFile := step(d.rest, e)
		if isFile && !e.Type.IsDir() {
			c := known[rel]
			if c == nil {
				c = &Match{Rel: rel}
			}
			c.Pending = true
			m.files = append(m.files, c)
		}
		switch sub := (descent{rel: rel, rest: rest}); {
		case len(rest) == 0:
		case e.Type.IsDir():
			sub.key = restKey(rest)
			m.dirs = append(m.dirs, sub)
		case e.Type&os.ModeSymlink != 0:
			sub.key = restKey(rest)
			links = append(links, sub)
		}
	}
	m.dirs = append(m.dirs, links...) // a directory's own name comes before links to it
	for k, o := range l.selected {
		if o.version < l.version-1 { // the pattern is no longer searched for
			delete(l.selected, k)
		}
	}
	l.selected[key] = m
	return m
}

func restKey(rest [][]string) string {
	var b strings.Builder
	for _, p := range rest {
		b.WriteString(strings.Join(p, "/"))
		b.WriteByte(0)
	}
	return b.String()
}

// step matches one entry of a directory against the patterns that are left there. It returns the patterns that are left below the
// entry if it is a directory, and whether the entry is selected if it is a file. "**" stands for any number of directories, but
// does not follow symbolic links.
func step(rest [][]string, e Entry) (below [][]string, isFile bool) {
	add := func(p []string) {
		if !slices.ContainsFunc(below, func(q []string) bool { return slices.Equal(p, q) }) {
			below = append(below, p)
		}
	}
	for _, p := range rest {
		for len(p) > 1 && p[0] == "**" { // ** also stands for no directory
			if e.Type.IsDir() {
				add(p)
			}
			p = p[1:]
		}
		switch {
		case p[0] == "**": // at the end it selects everything below
			isFile = true
			if e.Type.IsDir() {
				add(p)
			}
		case !matches(p[0], e.Name):
		case len(p) == 1:
			isFile = true
		default:
			add(p[1:])
		}
	}
	return below, isFile
}
