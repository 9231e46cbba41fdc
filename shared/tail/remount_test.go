// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// renumber gives all files another device number, as a reboot does, or a volume that is mounted anew: until the test ends
// each call adds one. births says that the file system knows when a file was made.
func renumber(t testing.TB, births bool) func() {
	n := uint64(0)
	find.TestStat = func(s *find.Stat) {
		s.Dev += n << 32
		if !births {
			s.Birth = 0
		}
	}
	t.Cleanup(func() { find.TestStat = nil })
	return func() { n++ }
}

func TestDevicesRenumberedWhileDown(t *testing.T) {
	for name, births := range map[string]bool{"births": true, "no births": false} {
		t.Run(name, func(t *testing.T) {
			again := renumber(t, births)
			r := newRig(t, Selection{Name: "a", Pattern: "*.log*"})
			text, lines := numbered("x", 0, 300)
			for _, name := range []string{"a.log", "b.log", "c.log", "old.log.1", "short.log"} {
				if name == "short.log" {
					r.write(name, "short\n")
					lines = append(lines, "short")
				} else {
					r.write(name, text)
				}
			}
			r.start().pass(2 * time.Second)
			r.write("b.log", "unacknowledged\n")
			r.compress("old.log.1")
			r.deaf = true
			r.pass(5 * time.Second)
			r.deaf = false
			streams := r.streams()
			for range 3 { // each restart after a reboot
				r.kill()
				again()
				r.arrived = nil
				r.start().pass(2 * time.Minute)
				require.LessOrEqual(t, len(r.arrived), 1, "only what was not acknowledged arrives again")
			}
			r.rename("a.log", "a.log.1")
			r.kill()
			again()
			r.arrived = nil
			r.write("a.log.1", "late\n")
			r.write("c.log", "more\n")
			r.start().pass(10 * time.Second)
			r.wants("late", "more")
			require.Subset(t, streams, r.streams())
			require.Zero(t, r.tailer.Counts().Lost)
		})
	}
}

func TestVolumeMountedAnewWhileFilesAreFollowed(t *testing.T) {
	for name, closed := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			again := renumber(t, closed)
			r := newRig(t, Selection{Name: "a", Pattern: "*.log"}).start()
			r.write("a.log", "one\n")
			r.write("b.log", "two\n")
			r.pass(2 * time.Minute)
			if closed {
				r.closeIdle()
				r.closeIdle()
			}
			again()
			r.write("a.log", "three\n")
			r.pass(2 * time.Minute)
			r.wants("one", "two", "three")
			require.Len(t, r.streams(), 2)
			r.kill()
			r.start().pass(time.Minute)
			r.wants("one", "two", "three")
			require.Zero(t, r.tailer.Counts().Lost)
		})
	}
}

// A file of another file system that has the inode number of one that was read is another file, whatever it holds.
func TestInodeNumberOnAnotherFileSystem(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*/*.log"})
	r.write("one/x.log", "one\n")
	r.start().pass(time.Second)
	r.kill()
	x, err := statPath(r.path("one/x.log"))
	require.NoError(t, err)
	r.write("two/x.log", "one\n")
	other := map[uint64]bool{}
	for _, name := range []string{"two", "two/x.log"} {
		s, err := statPath(r.path(name))
		require.NoError(t, err)
		other[s.Ino] = true
	}
	find.TestStat = func(s *find.Stat) {
		if s.Birth = 0; !other[s.Ino] {
			return
		}
		if s.Dev += 1 << 32; s.Regular() {
			s.Ino = x.Ino
		}
	}
	t.Cleanup(func() { find.TestStat = nil })
	r.start().pass(5 * time.Second)
	r.wants("one", "one")
	require.Len(t, r.streams(), 2)
	require.Zero(t, r.tailer.Counts().Lost)
}
