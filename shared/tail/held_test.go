// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/tail/find"
)

const mib = 1 << 20

func TestSpaceThatRemovedFilesMayTake(t *testing.T) {
	for name, c := range map[string]struct {
		space
		held, want int64
	}{
		"plenty":                        {space{total: 1 << 40, free: 1 << 39}, 0, 1 << 38},
		"a small volume":                {space{total: 16 * mib, free: 8 * mib}, 8 * mib, 4 * mib},
		"a large disk, nearly full":     {space{total: 1 << 40, free: 1 << 35}, 1 << 30, 1 << 38},
		"a large disk, hardly any free": {space{total: 1 << 40, free: 1 << 29}, 1 << 30, 1 << 29},
		"nearly full":                   {space{total: 64 * mib, free: 6 * mib}, 8 * mib, 6 * mib},
		"full":                          {space{total: 16 * mib, free: 0}, 1 * mib, 0},
		"memory":                        {space{total: 1 << 40, free: 1 << 40, memory: true}, 0, heldMemory},
		"memory, small":                 {space{total: 16 * mib, free: 16 * mib, memory: true}, 0, 4 * mib},
		"nothing to be told":            {space{}, 0, 0},
	} {
		require.Equal(t, c.want, c.limit(c.held), name)
	}
}

// smallVolume is a file system of so many bytes, of which r's files take what they take.
func smallVolume(r *rig, size int64) func(content) (space, error) {
	return func(content) (space, error) {
		used := int64(0)
		seen := map[find.Inode]bool{}
		count := func(s find.Stat) {
			if !seen[s.Inode] {
				seen[s.Inode] = true
				used += s.Blocks
			}
		}
		for _, g := range r.generations() {
			if g.body != nil {
				s, err := statBody(g.body)
				require.NoError(r, err)
				count(s)
			}
		}
		return space{size, size - used, true}, nil
	}
}

// An application that keeps 8 MiB of rotated files on a volume of 16 MiB must be able to write, though nothing is
// delivered.
func TestRemovedFilesYieldToTheApplication(t *testing.T) {
	r := newRig(t, access).start()
	r.tailer.space = smallVolume(r, 16*mib)
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	text, _ := numbered("x", 0, mib/16) // about half a MiB
	for range 40 {
		r.write("access.log", text)
		r.pass(time.Second)
		r.rename("access.log", "access.log.1")
		r.pass(time.Second)
		r.remove("access.log.1")
		r.pass(time.Second)
		s, _ := r.tailer.space(nil)
		require.Greater(t, s.free, int64(mib))
		require.LessOrEqual(t, r.tailer.Counts().HeldBytes, int64(4*mib))
	}
	require.NotZero(t, r.tailer.Counts().HeldBytes, "what does no harm is held")
	r.blocked = false
	r.pass(10 * time.Second)
	require.NotEmpty(t, r.gaps)
	require.Contains(t, r.log.String(), "the space of its file system was needed")
	require.NotZero(t, r.tailer.Counts().Lost)
	require.Contains(t, r.lines()[len(r.lines())-1], "x 065535", "the youngest are kept")
}

func TestHeldBytesAreTakenFromWhoHoldsMost(t *testing.T) {
	r := newRig(t)
	r.cfg.MaxDeleted = mib
	r.start()
	r.tailer.space = func(content) (space, error) { return space{1 << 40, 1 << 40, false}, nil }
	for _, id := range []string{"little", "much"} {
		require.Empty(t, r.tailer.Put(Origin{ID: id, Root: find.Host(),
			Selections: []Selection{{Name: "a", Pattern: r.path(id + "/*.log"), Outputs: []string{"out"}}}}))
	}
	text, lines := numbered("x", 0, 20_000)
	r.blocked = true
	r.write("little/x.log", text)
	r.pass(time.Second)
	r.remove("little/x.log")
	for range 10 {
		r.write("much/x.log", text)
		r.pass(time.Second)
		r.remove("much/x.log")
		r.pass(time.Second)
	}
	require.LessOrEqual(t, r.tailer.Counts().HeldBytes, int64(mib))
	r.blocked = false
	r.pass(10 * time.Second)
	little := 0
	for _, l := range r.arrived {
		if l.path == r.path("little/x.log") {
			little++
		}
	}
	require.Equal(t, len(lines), little, "the oldest file is not that of the origin that holds most")
	require.NotEmpty(t, r.gaps)
}

// The same holds of a file system that is short of space: the oldest file is an innocent's, and stays.
func TestTheSpaceOfAFileSystemIsTakenFromWhoHoldsMost(t *testing.T) {
	r := newRig(t)
	r.start()
	r.tailer.space = func(content) (space, error) { return space{16 * mib, 16 * mib, true}, nil }
	for _, id := range []string{"little", "much"} {
		require.Empty(t, r.tailer.Put(Origin{ID: id, Root: find.Host(),
			Selections: []Selection{{Name: "a", Pattern: r.path(id + "/*.log"), Outputs: []string{"out"}}}}))
	}
	few, lines := numbered("x", 0, 20_000)
	text, _ := numbered("x", 0, mib/16)
	r.blocked = true
	r.write("little/x.log", few)
	r.pass(time.Second)
	r.remove("little/x.log")
	for range 20 {
		r.write("much/x.log", text)
		r.pass(time.Second)
		r.remove("much/x.log")
		r.pass(time.Second)
		require.LessOrEqual(t, r.tailer.Counts().HeldBytes, int64(4*mib))
	}
	r.blocked = false
	r.pass(10 * time.Second)
	arrived := 0
	for _, l := range r.arrived {
		if l.path == r.path("little/x.log") {
			arrived++
		}
	}
	require.Equal(t, len(lines), arrived)
	require.Contains(t, r.log.String(), "the space of its file system was needed")
}

func TestSpaceOfARealFile(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	for _, g := range r.generations() {
		s, err := spaceOf(g.body)
		require.NoError(t, err)
		require.Positive(t, s.total)
		var x unix.Statfs_t
		require.NoError(t, unix.Statfs(r.dir, &x))
		require.Equal(t, int64(x.Blocks)*int64(x.Bsize), s.total)
	}
}

// A file system that does not say how much space it has is waited for once, holds up no other, and its files are held.
func TestNobodyWaitsForTheSpaceOfAFileSystem(t *testing.T) {
	r := newRig(t).start()
	r.put("stuck", logs)
	r.put("well", logs)
	asked, release := make(chan struct{}, 100), make(chan struct{})
	r.tailer.space = func(content) (space, error) {
		asked <- struct{}{}
		<-release
		return space{}, nil // of which nothing may be held
	}
	r.tailer.patience = time.Second / 10
	r.blocked = true
	r.write("stuck/app.log", "late\n")
	r.pass(time.Second)
	r.remove("stuck/app.log")
	r.pass(5 * time.Second)
	<-asked
	require.Empty(t, asked, "it is asked again before it has answered")
	require.NotZero(t, r.tailer.Counts().HeldBytes)
	r.blocked = false
	r.write("well/app.log", "one\n")
	r.pass(2 * time.Second)
	r.wants("late", "one")
	require.Empty(t, r.gaps)
	close(release)
}
