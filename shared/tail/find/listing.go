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
	// smallDir is up to how many entries a directory is read in each pass: that costs less than to reason about when it
	// was changed.
	smallDir = 256
	// rereadEvery is the number of passes after which a large directory is read even if its time says that it is
	// unchanged: some network file systems report it late.
	rereadEvery = 10
	// keepListings is for how many passes a listing is kept that nobody asks for.
	keepListings = 2
	// maxEntries bounds the names of one directory.
	maxEntries = 100_000
)

// Entry is one name in a directory.
type Entry struct {
	Name string
	Type os.FileMode
}

// listing is a directory as it was read last.
type listing struct {
	id       Inode
	mtime    int64
	before   int64 // mtime when it was read before that
	settled  bool  // it was read again since its time changed: whatever shares that time is in it
	pass     int   // the pass that asked for it last
	read     int   // the pass that read it last
	version  int   // counts the readings
	entries  []Entry
	over     bool // it has more entries than were read
	selected map[selection]*selected
}

// list returns the directory rel. It is read if it may have changed since the last pass.
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
	l.version++ // a file may be replaced under an unchanged name, so every reading counts as a change
	l.entries, l.over, err = d.entries(l.entries[:0])
	if err != nil {
		return l, d, fmt.Errorf("read directory %s: %w", t.Path(rel), err)
	}
	return l, d, nil
}

// entries reads the names of all layers, up to maxEntries. over reports that there are more.
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

// Names returns the entries of the directory rel, and a number that changes whenever it is read again.
func (t *Tree) Names(rel string) (entries []Entry, version int, err error) {
	l, _, err := t.list(rel)
	if err != nil {
		return nil, 0, err
	}
	return l.entries, l.version, nil
}

// NewSince returns a time, by the clock of the file system in ns since 1970, that no file is older than that was made in
// the directory rel since it was read before the last time.
func (t *Tree) NewSince(rel string) int64 {
	l, _, err := t.list(rel)
	if err != nil {
		return 0
	}
	return l.before
}

// Files asks for every regular file in the directory rel, by its name below the base. What can't be read is left out.
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

// FilesBelow is Files of rel and of the directories in it.
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
