// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/tail/find"
)

// inodes are numbers, and births, that a test gives to files in the place of those of the file system, which gives some
// numbers again and others not, as it likes. Files that were given none have the file system's.
type inodes struct {
	given map[uint64]identity // by the file system's number
	next  uint64
	born  int64
}

type identity struct {
	find.Inode
	birth int64
}

// newInodes is in force until restore is called. births says that the file system knows when a file was made, as most do.
func newInodes(births bool) (n *inodes, restore func()) {
	n = &inodes{given: map[uint64]identity{}}
	before := find.TestStat
	find.TestStat = func(s *find.Stat) {
		own, ok := n.given[s.Ino]
		if !ok {
			return
		}
		if s.Inode, s.Birth = own.Inode, 0; births {
			s.Birth = own.birth
		}
	}
	return n, func() { find.TestStat = before }
}

// useInodes is newInodes until the test ends.
func useInodes(t testing.TB, births bool) *inodes {
	n, restore := newInodes(births)
	t.Cleanup(restore)
	return n
}

// firstBirth is some moment in ns since 1970; each file is born a nanosecond after the one before.
const firstBirth = 1_700_000_000_000_000_000

// give gives the file at path, which was just made, a number that no file has.
func (n *inodes) give(t tb, path string) find.Inode {
	t.Helper()
	n.next++
	id := find.Inode{Dev: 1, Ino: n.next}
	n.giveAgain(t, path, id)
	return id
}

// giveAgain gives the file at path, which was just made, a number that another file had.
func (n *inodes) giveAgain(t tb, path string, id find.Inode) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	n.born++
	n.given[info.Sys().(*syscall.Stat_t).Ino] = identity{id, firstBirth + n.born}
}

// born gives a file that was just made a number: a new one, or one that no file has any more.
func (m *model) born(t *rapid.T, name string) {
	used := map[find.Inode]bool{}
	for other := range m.files {
		if s, err := statPath(m.path(other)); err == nil && other != name {
			used[s.Inode] = true
		}
	}
	if m.up {
		for id := range m.tailer.handles() {
			used[id] = true
		}
	}
	free := []find.Inode{{}}
	for i := range m.inodes.next {
		if id := (find.Inode{Dev: 1, Ino: i + 1}); !used[id] {
			free = append(free, id)
		}
	}
	if id := rapid.SampledFrom(free).Draw(t, "inode"); id != (find.Inode{}) {
		m.inodes.giveAgain(t, m.path(name), id)
	} else {
		m.inodes.give(t, m.path(name))
	}
}

// handles are the inodes that stay what they are because they are open.
func (t *Tailer) handles() map[find.Inode]bool {
	open := map[find.Inode]bool{}
	for _, o := range t.origins {
		for g := range o.all() {
			if g.body != nil {
				open[g.Inode] = true
			}
		}
		for id := range o.pending {
			open[id] = true
		}
	}
	return open
}

// statPath asks for the file at p.
func statPath(p string) (find.Stat, error) {
	f, err := os.Open(p)
	if err != nil {
		return find.Stat{}, err
	}
	defer f.Close()
	return find.StatFile(f)
}

// The model told this story: both of two rotated files were compressed, the one whose handle was closed first, so that
// the other's compressed file got its inode; and both were renamed before they could be taken to be complete.
func TestCompressedAndItsInodeGivenToTheNextCompressedFile(t *testing.T) {
	inodes := useInodes(t, false)
	r := newRig(t, all).start()
	r.write("access.log", "of two\n")
	inodes.give(t, r.path("access.log"))
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.write("access.log", "of one\n")
	one := inodes.give(t, r.path("access.log"))
	r.pass(time.Second)
	r.rename("access.log.1", "access.log.2")
	r.rename("access.log", "access.log.1")
	r.pass(time.Minute)
	r.closeIdle()
	require.Zero(t, r.tailer.Counts().Open)
	r.compress("access.log.1")
	inodes.give(t, r.path("access.log.1.gz"))
	r.compress("access.log.2")
	inodes.giveAgain(t, r.path("access.log.2.gz"), one)
	r.pass(time.Second)
	r.rename("access.log.2.gz", "access.log.3.gz")
	r.rename("access.log.1.gz", "access.log.2.gz")
	r.pass(2 * time.Minute)
	r.wants("of one", "of two")
	require.Len(t, r.streams(), 2)
}

// The model told this story: an empty file got the inode of a copy that had been empty too, and was taken for it, and what
// was copied from it later to the copy's name was not known for a copy.
func TestInodeOfAnEmptyFileGivenToAnother(t *testing.T) {
	for name, down := range map[string]bool{"down": true, "running": false} {
		t.Run(name, func(t *testing.T) {
			inodes := useInodes(t, false)
			r := newRig(t, all)
			r.write("access.log.1", "")
			copied := inodes.give(t, r.path("access.log.1"))
			r.start().pass(time.Minute)
			if down {
				r.kill()
			} else {
				r.closeIdle()
			}
			r.remove("access.log.1")
			r.write("access.log", "")
			inodes.giveAgain(t, r.path("access.log"), copied)
			if down {
				r.start()
			}
			r.pass(time.Second)
			r.write("access.log", "one\n")
			r.pass(time.Second)
			require.Equal(t, r.path("access.log"), r.arrived[0].path)
			r.kill()
			r.copy("access.log", "access.log.1")
			r.truncate("access.log")
			r.start().pass(10 * time.Second)
			r.wants("one")
		})
	}
}

// What nobody declared must not be read because it got the inode of a file that was.
func TestInodeGivenToAFileThatNobodyDeclared(t *testing.T) {
	for name, births := range map[string]bool{"births": true, "no births": false} {
		t.Run(name, func(t *testing.T) {
			inodes := useInodes(t, births)
			r := newRig(t, access).start()
			r.write("access.log", "one\n")
			one := inodes.give(t, r.path("access.log"))
			r.pass(time.Minute)
			r.closeIdle()
			require.Zero(t, r.tailer.Counts().Open)
			r.remove("access.log")
			r.write("private.txt", "nobody's business\n")
			inodes.giveAgain(t, r.path("private.txt"), one)
			r.pass(2 * time.Minute)
			r.wants("one")
			r.remove("private.txt")
			r.write("access.log", "two\n")
			inodes.giveAgain(t, r.path("access.log"), one)
			r.pass(time.Second)
			r.wants("one", "two")
			r.kill()
			r.remove("access.log")
			r.write("private.txt", "nobody's business\n")
			inodes.giveAgain(t, r.path("private.txt"), one)
			r.start().pass(2 * time.Minute)
			r.wants("one", "two")
		})
	}
}

// A file whose inode was given to another one must not become a file of the declarations that select the other.
func TestInodeGivenToAFileOfAnotherDeclaration(t *testing.T) {
	inodes := useInodes(t, false)
	r := newRig(t, access, Selection{Name: "other", Pattern: "other.log"}).start()
	r.write("access.log", "one\n")
	one := inodes.give(t, r.path("access.log"))
	r.pass(time.Minute)
	r.closeIdle()
	require.Zero(t, r.tailer.Counts().Open)
	r.remove("access.log")
	r.write("other.log", "of other\n")
	inodes.giveAgain(t, r.path("other.log"), one)
	r.pass(2 * time.Minute)
	r.wants("one", "of other")
	require.Zero(t, r.tailer.Counts().Lost)
	require.Equal(t, "other", r.arrived[1].declaration)
}
