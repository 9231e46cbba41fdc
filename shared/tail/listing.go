// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// maxDepth bounds how deep ** goes, maxFollowed how many symbolic links to directories one path may hold.
	maxDepth = 32
	// smallDir is up to how many entries a directory is read at each scan: that costs less than to reason about when
	// it was changed.
	smallDir = 256
	// rereadEvery is the number of scans after which a large directory is read even if its time says that it is
	// unchanged: not every network file system tells the truth.
	rereadEvery = 10
)

// entry is one name in a directory.
type entry struct {
	name string
	mode os.FileMode // its type
}

// listing is a directory as it was read last.
type listing struct {
	id       inode
	mtime    int64
	settled  bool // it was read again since its time changed: whatever shares that time is in it
	scan     int  // the scan that asked for it last, and that read it last
	read     int
	version  int // counts the readings
	entries  []entry
	children map[*Watch]*matched
	// heirs holds, for each name that was followed in this directory, the youngest file that bore it.
	heirs map[string]*file
}

// matched is what one declaration selects in one directory.
type matched struct {
	version int // of the listing
	files   []*candidate
	dirs    []descent
}

// candidate is a name that a declaration selects.
type candidate struct {
	rel  string // below the volume's base
	file *file  // what it led to when it was looked at last
	// pending says that it has to be looked at again although its directory is unchanged: it is a symbolic link, or it
	// could not be opened.
	pending bool
}

// descent is a directory that may hold what the rest of a pattern selects.
type descent struct {
	rel  string
	rest [][]string
}

// list returns the directory at rel, reading it only if it may have changed since the last scan.
func (v *volume) list(rel string, scan int) (*listing, error) {
	l := v.dirs[rel]
	if l != nil && l.scan == scan {
		return l, nil
	}
	dir, err := v.openDir(rel)
	if err != nil {
		delete(v.dirs, rel)
		return nil, err
	}
	defer dir.Close()
	s, err := statOf(int(dir.Fd()), "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Join(v.base, rel), err)
	}
	if l == nil || l.id != s.inode {
		l = &listing{id: s.inode, children: map[*Watch]*matched{}, heirs: map[string]*file{}}
		v.dirs[rel] = l
	}
	l.scan = scan
	same := l.version > 0 && l.mtime == s.mtime
	if same && l.settled && len(l.entries) > smallDir && scan-l.read < rereadEvery {
		return l, nil
	}
	l.settled, l.mtime, l.read = same, s.mtime, scan
	return l, l.fill(dir)
}

// openDir follows symbolic links within the volume.
func (v *volume) openDir(rel string) (*os.File, error) {
	dir, err := v.root.OpenFile(rel, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		if inside, ok := v.absoluteLink(rel); ok {
			dir, err = v.root.OpenFile(inside, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
		}
	}
	if err != nil {
		return nil, v.explain(rel, err)
	}
	return dir, nil
}

// fill reads the directory. A file may be replaced under an unchanged name, so every reading counts as a change.
func (l *listing) fill(dir *os.File) error {
	entries, err := dir.ReadDir(-1)
	l.entries = l.entries[:0]
	for _, e := range entries {
		l.entries = append(l.entries, entry{e.Name(), e.Type()})
	}
	l.version++
	if err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	return nil
}

// walk calls visit for each name that w selects, and enter for each directory that it searches.
func (v *volume) walk(w *Watch, scan int, visit func(*candidate), enter func(rel string)) error {
	return v.walkDir(w, descent{".", w.glob.alternatives}, 0, scan, visit, enter)
}

func (v *volume) walkDir(w *Watch, d descent, depth, scan int, visit func(*candidate), enter func(string)) error {
	l, err := v.list(d.rel, scan)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join(v.base, d.rel), err)
	}
	m := l.children[w]
	if m == nil || m.version != l.version {
		m = selectIn(l, d, m)
		l.children[w] = m
	}
	enter(d.rel)
	for _, c := range m.files {
		visit(c)
	}
	var errs []error
	for _, sub := range m.dirs {
		if depth == maxDepth {
			break
		}
		err := v.walkDir(w, sub, depth+1, scan, visit, enter)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			errs = append(errs, err) // neither removed meanwhile, nor a link to a file
		}
	}
	return errors.Join(errs...)
}

// selectIn finds what d.rest selects in l. Candidates that were known keep the file they led to, but are looked at again.
func selectIn(l *listing, d descent, before *matched) *matched {
	m := &matched{version: l.version}
	known := map[string]*candidate{}
	if before != nil {
		for _, c := range before.files {
			known[c.rel] = c
		}
	}
	for _, e := range l.entries {
		rel := path.Join(d.rel, e.name)
		rest, isFile := step(d.rest, e)
		if isFile && !e.mode.IsDir() {
			c := known[rel]
			if c == nil {
				c = &candidate{rel: rel}
			}
			c.pending = true
			m.files = append(m.files, c)
		}
		if len(rest) > 0 && (e.mode.IsDir() || e.mode&os.ModeSymlink != 0) {
			m.dirs = append(m.dirs, descent{rel, rest})
		}
	}
	return m
}

// step takes one name of a directory through the patterns that are left there: the patterns that are left below it if
// it is a directory, and whether it is selected if it is a file. "**" stands for any number of directories, but does not
// follow symbolic links, which may lead in a circle.
func step(rest [][]string, e entry) (below [][]string, isFile bool) {
	add := func(p []string) {
		if !slices.ContainsFunc(below, func(q []string) bool { return slices.Equal(p, q) }) {
			below = append(below, p)
		}
	}
	for _, p := range rest {
		for len(p) > 1 && p[0] == "**" { // no directory at all
			if e.mode.IsDir() {
				add(p)
			}
			p = p[1:]
		}
		switch {
		case p[0] == "**": // at the end: all that lies below
			isFile = true
			if e.mode.IsDir() {
				add(p)
			}
		case !matches(p[0], e.name):
		case len(p) == 1:
			isFile = true
		default:
			add(p[1:])
		}
	}
	return below, isFile
}
