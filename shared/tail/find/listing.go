// SPDX-License-Identifier: Apache-2.0

package find

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

const (
	// smallDir is the number of entries up to which a directory is read in each pass. That is cheaper than finding out whether
	// it has changed.
	smallDir = 256
	// rereadEvery is the number of passes after which a large directory is read even if its modification time is unchanged:
	// some network file systems report it late.
	rereadEvery = 10
	// keepListings is the number of passes for which a listing is kept without being asked for.
	keepListings = 2
	// maxEntries bounds the names that are read from one directory.
	maxEntries = 100_000
)

// Entry is one name in a directory.
type Entry struct {
	Name string
	Type os.FileMode
}

// listing is a directory as it was last read.
type listing struct {
	id       Inode
	mtime    int64
	before   int64 // mtime at the reading before
	settled  bool  // it was read again after its mtime changed, so it has all changes of that time
	pass     int   // the pass that last asked for it
	read     int   // the pass that last read it
	version  int   // number of readings
	entries  []Entry
	over     bool // the directory has more entries than were read
	selected map[selection]*selected
}

// list returns the directory rel, and reads it if it may have changed since the last pass.
func (t *Tree) list(rel string) (*listing, *dir, error) {
	t.trim()
	d, err := t.dir(t.Path(rel), 0)
	if err != nil {
		delete(t.listings, rel)
		return nil, nil, err
	}
	l := t.listings[rel]
	if l != nil && l.pass == t.pass {
		return l, d, nil
	}
	s, err := d.stat()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", t.Path(rel), err)
	}
	if l == nil || l.id != s.Inode {
		l = &listing{id: s.Inode, selected: map[selection]*selected{}}
		t.listings[rel] = l
	}
	l.pass = t.pass
	same := l.version > 0 && l.mtime == s.ModTime
	if same && l.settled && len(l.entries) > smallDir && t.pass-l.read < rereadEvery {
		return l, d, nil
	}
	l.before = l.mtime
	if l.version == 0 {
		l.before = s.ModTime
	}
	l.settled, l.mtime, l.read = same, s.ModTime, t.pass
	l.version++ // a file may have been replaced under its name, so every reading counts as a change
	l.entries, l.over, err = d.entries(l.entries[:0])
	if err != nil {
		return l, d, fmt.Errorf("read directory %s: %w", t.Path(rel), err)
	}
	return l, d, nil
}

// entries appends the names of all layers to all, up to maxEntries. over reports whether there are more.
func (d *dir) entries(all []Entry) (_ []Entry, over bool, err error) {
	var hidden map[string]bool // names of the layers above
	if len(d.layers) > 1 {
		hidden = map[string]bool{}
	}
	for _, layer := range d.layers {
		if _, err := layer.Seek(0, io.SeekStart); err != nil {
			return all, false, err
		}
		for {
			entries, err := layer.ReadDir(1024)
			for _, e := range entries {
				whiteout := d.deep && e.Type()&os.ModeCharDevice != 0 && d.whitedOut(layer, e.Name())
				if hidden[e.Name()] {
					continue
				}
				if hidden != nil {
					hidden[e.Name()] = true
				}
				if whiteout {
					continue
				}
				if len(all) == maxEntries {
					return all, true, nil
				}
				all = append(all, Entry{e.Name(), e.Type()})
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return all, false, err
			}
		}
	}
	return all, false, nil
}

func (d *dir) whitedOut(layer *os.File, name string) bool {
	s, err := statAt(int(layer.Fd()), name)
	return err == nil && s.whiteout()
}

// Names returns the entries of the directory rel, and a version that changes whenever the directory is read again.
func (t *Tree) Names(rel string) (entries []Entry, version int, err error) {
	l, _, err := t.list(rel)
	if err != nil {
		return nil, 0, err
	}
	return l.entries, l.version, nil
}

// NewSince returns a lower bound for the times of files that were created in the directory rel since the reading before the last.
// It is by the clock of the file system, in ns since 1970.
func (t *Tree) NewSince(rel string) int64 {
	l, _, err := t.list(rel)
	if err != nil {
		return 0
	}
	return l.before
}

// Files returns the Stat of every regular file in the directory rel, by its name below the base. It omits what can't be read.
func (t *Tree) Files(rel string) map[string]Stat {
	l, d, err := t.list(rel)
	if err != nil && l == nil {
		return nil
	}
	all := map[string]Stat{}
	for _, e := range l.entries {
		if !e.Type.IsRegular() {
			continue
		}
		if s, err := d.lstat(e.Name); err == nil && s.Regular() {
			all[path.Join(rel, e.Name)] = s
		}
	}
	return all
}

// FilesBelow returns the Files of rel and of the directories in it.
func (t *Tree) FilesBelow(rel string) map[string]Stat {
	all := t.Files(rel)
	entries, _, err := t.Names(rel)
	if err != nil {
		return all
	}
	for _, e := range entries {
		if !e.Type.IsDir() {
			continue
		}
		for name, s := range t.Files(path.Join(rel, e.Name)) {
			all[name] = s
		}
	}
	return all
}
