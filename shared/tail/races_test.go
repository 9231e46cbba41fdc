// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
)

// streamOf is a stored stream of a file that is not there.
func streamOf(t testing.TB, i int, path string) map[checkpoint.Key]checkpoint.Entry {
	t.Helper()
	m := fingerprint.Mark{Dev: 1, Ino: uint64(i) + 1<<40, Path: path}
	key := checkpoint.Key{Stream: streamKey("", find.Inode{Dev: m.Dev, Ino: m.Ino}, int64(i)), Declaration: "a", Output: "out"}
	return map[checkpoint.Key]checkpoint.Entry{key: {Mark: m.Encode()}}
}

// A file whose beginning is all that was read of one that is gone is another file, unless it may be its copy.
func TestANewFileThatBeginsLikeOneThatIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *rig)
		next string
	}{
		"removed, then a rotation's name": {func(r *rig) { r.remove("app.log") }, "app.log.1"},
		"removed, then its own name":      {func(r *rig) { r.remove("app.log") }, "app.log"},
		"truncated, then a related name":  {func(r *rig) { r.truncate("app.log") }, "app-2.log"},
		"truncated, then a rotation":      {func(r *rig) { r.truncate("app.log") }, "app.log.1"},
	} {
		for _, scans := range []int{0, 3} {
			if scans == 0 && c.next == "app.log.1" {
				continue // it may as well be the copy of what was appended
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, Selection{Name: "a", Pattern: "app*"}).start()
				r.write("app.log", "header\n")
				r.pass(10 * time.Second)
				c.end(r)
				r.pass(time.Duration(scans) * time.Second)
				r.write(c.next, "header\nfirst\n")
				r.pass(10 * time.Second)
				r.wants("header", "header", "first")
				require.Equal(t, r.path(c.next), r.arrived[2].path)
			})
		}
	}
}

// The directory is read, and then its names are looked at: a file that is rotated between the two must be found.
func TestRotatedBetweenTheListingAndTheLook(t *testing.T) {
	for name, known := range map[string]bool{"the first file": false, "after another one": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, access)
			r.write("access.log.7", "of old, and not declared\n")
			r.start()
			want := []string{"two", "three"}
			if known {
				r.write("access.log", "one\n")
				r.pass(time.Second)
				r.rename("access.log", "access.log.2")
				want = append(want, "one")
			} else {
				r.pass(time.Second)
			}
			r.write("access.log", "two\n")
			r.broken = func(string) error { // it was found, and is being opened
				r.broken = nil
				r.rename("access.log", "access.log.1")
				r.write("access.log", "three\n")
				return nil
			}
			r.pass(5 * time.Second)
			r.wants(want...)
		})
	}
}

func TestListedAndGone(t *testing.T) {
	r := newRig(t, access)
	r.write("access.log.7", "of old, and not declared\n")
	r.start().pass(time.Second)
	r.nextTick("access.log.7")
	r.write("access.log", "one\n")
	o := r.tailer.origins[""]
	tree := o.trees[r.dir]
	require.NoError(t, tree.Begin())
	_, _, err := tree.Names(".")
	require.NoError(t, err)
	r.rename("access.log", "access.log.1")
	o.noteGone(o.selections[0], tree, "access.log")
	tree.Release()
	r.pass(2 * time.Second)
	r.wants("one")
}

// nextTick waits until the file system's clock shows another time than when the file at name was made.
func (r *rig) nextTick(name string) {
	r.Helper()
	old, err := statPath(r.path(name))
	require.NoError(r, err)
	for now := old; now.Birth == old.Birth && old.Birth != 0; {
		f, err := os.CreateTemp("", "tick")
		require.NoError(r, err)
		now, err = find.StatFile(f)
		require.NoError(r, errors.Join(err, f.Close(), os.Remove(f.Name())))
	}
}

// A file system's clock ticks every few milliseconds: files that are made within one tick are as old as each other.
func TestBornInTheSameTick(t *testing.T) {
	inodes := useInodes(t, true)
	tick := func(name string) {
		inodes.give(t, filepathOf(t, name))
		for k, id := range inodes.given {
			id.birth = firstBirth
			inodes.given[k] = id
		}
	}
	r := newRig(t, access)
	r.write("access.log.7", "of old, and not declared\n")
	tick(r.path("access.log.7"))
	r.write("access.log", "one\n")
	tick(r.path("access.log"))
	r.start().pass(time.Second)
	r.rename("access.log", "access.log.2")
	r.write("access.log.1", "two\n") // it was access.log meanwhile
	tick(r.path("access.log.1"))
	r.write("access.log", "three\n")
	tick(r.path("access.log"))
	r.pass(2 * time.Second)
	r.wants("one", "two", "three")
}

func filepathOf(t testing.TB, name string) string {
	_, err := os.Stat(name)
	require.NoError(t, err)
	return name
}
