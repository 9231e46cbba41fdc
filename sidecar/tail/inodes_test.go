package tail

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// inodes are numbers that a test gives to files in the place of those of the file system, which gives some again and
// others not, as it likes. Files that were given none have the file system's.
type inodes struct {
	given map[uint64]inode // by the file system's number
	next  uint64
}

// newInodes is in force until restore is called.
func newInodes() (n *inodes, restore func()) {
	n = &inodes{given: map[uint64]inode{}}
	before := renumber
	renumber = func(id inode) inode {
		if own, ok := n.given[id.ino]; ok {
			return own
		}
		return id
	}
	return n, func() { renumber = before }
}

// useInodes is newInodes until the test ends.
func useInodes(t testing.TB) *inodes {
	n, restore := newInodes()
	t.Cleanup(restore)
	return n
}

// withoutBirths leaves out the time of a file's birth, as some file systems do, until the test ends.
func withoutBirths(t testing.TB) {
	before := statxMask
	t.Cleanup(func() { statxMask = before })
	statxMask = unix.STATX_BASIC_STATS
}

// give gives the file at path, which was just made, a number that no file has.
func (n *inodes) give(t tb, path string) inode {
	t.Helper()
	n.next++
	id := inode{dev: 1, ino: n.next}
	n.giveAgain(t, path, id)
	return id
}

// giveAgain gives the file at path, which was just made, a number that another file had.
func (n *inodes) giveAgain(t tb, path string, id inode) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	n.given[info.Sys().(*syscall.Stat_t).Ino] = id
}

// born gives a file that was just made a number: a new one, or one that no file has any more.
func (m *model) born(t *rapid.T, name string) {
	used := map[inode]bool{}
	for other := range m.files {
		if s, err := statPath(m.path(other)); err == nil && other != name {
			used[s.inode] = true
		}
	}
	if m.up {
		for id := range m.tailer.handles() {
			used[id] = true
		}
	}
	free := []inode{{}}
	for i := range m.inodes.next {
		if id := (inode{dev: 1, ino: i + 1}); !used[id] {
			free = append(free, id)
		}
	}
	if id := rapid.SampledFrom(free).Draw(t, "inode"); id != (inode{}) {
		m.inodes.giveAgain(t, m.path(name), id)
	} else {
		m.inodes.give(t, m.path(name))
	}
}

// handles are the inodes that stay what they are because they are open.
func (t *Tailer) handles() map[inode]bool {
	open := map[inode]bool{}
	for f := range t.all() {
		if f.body != nil {
			open[f.inode] = true
		}
	}
	for id := range t.held {
		open[id] = true
	}
	return open
}

// The model told this story: both of two rotated files were compressed, the one whose handle was closed first, so that
// the other's compressed file got its inode; and both were renamed before they could be taken to be complete.
func TestCompressedAndItsInodeGivenToTheNextCompressedFile(t *testing.T) {
	inodes := useInodes(t)
	withoutBirths(t)
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
	r.tailer.relieve()
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

// What nobody declared must not be read because it got the inode of a file that was.
func TestInodeGivenToAFileThatNobodyDeclared(t *testing.T) {
	for name, births := range map[string]func(testing.TB){"births": func(testing.TB) {}, "no births": withoutBirths} {
		t.Run(name, func(t *testing.T) {
			inodes := useInodes(t)
			births(t)
			r := newRig(t, access).start()
			r.write("access.log", "one\n")
			one := inodes.give(t, r.path("access.log"))
			r.pass(time.Minute)
			r.tailer.relieve()
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
	inodes := useInodes(t)
	withoutBirths(t)
	r := newRig(t, access, Watch{Name: "other", Pattern: "other.log"}).start()
	r.write("access.log", "one\n")
	one := inodes.give(t, r.path("access.log"))
	r.pass(time.Minute)
	r.tailer.relieve()
	require.Zero(t, r.tailer.Counts().Open)
	r.remove("access.log")
	r.write("other.log", "of other\n")
	inodes.giveAgain(t, r.path("other.log"), one)
	r.pass(2 * time.Minute)
	r.wants("one", "of other")
	require.Zero(t, r.tailer.Counts().Lost)
	require.Equal(t, "other", r.arrived[1].declaration)
}
