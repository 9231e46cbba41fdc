// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// newQuietPair is a pair with room for all that a test writes.
func newQuietPair(t *testing.T) *pair {
	p := newPair(t, 1)
	p.limit = 16 << 20
	require.NoError(t, PublishLimits(p.dir, Limits{MaxBytes: 1 << 30, MaxBytesEach: p.limit, WhenFull: "drop-oldest"}))
	p.writer.applyLimits()
	return p
}

// byTurns writes n bytes, each into the other pipe than the one before.
func (p *pair) byTurns(n int) {
	for i := range n {
		_, err := unix.Write(p.pipes[i%2][1], []byte{'x'})
		require.NoError(p, err)
		got, err := p.writer.TakeFrom(p.pipes[i%2][0], Std(i%2+1))
		require.NoError(p, err)
		require.Equal(p, 1, got)
	}
	require.NoError(p, p.reader.Refresh())
}

// A container that writes a byte to each of its streams by turns makes as many chunks as bytes. Each is found, from
// wherever reading begins, and most of them without asking the file: one such container shares a shard with others.
func TestChunksOfOneByte(t *testing.T) {
	p := newQuietPair(t)
	const n = 5000
	p.byTurns(n)
	v := p.reader.View("v")
	check := func(from int64) {
		for off := from; off < n; off++ {
			c, err := v.Chunk(off)
			require.NoError(t, err)
			require.Equal(t, Std(off%2+1), c.Std, "offset %d", off)
			require.Greater(t, c.End, off)
		}
	}
	check(0)
	check(4711)
	check(3)

	asked := 0
	for off := range int64(n) {
		if _, known := v.known.find(off); !known {
			asked++
		}
		_, err := v.Chunk(off)
		require.NoError(t, err)
	}
	require.Less(t, asked, n/30, "of %d chunks", n)
}

// The end of the newest chunk is not known yet: it must be asked for again.
func TestTheNewestChunkGrows(t *testing.T) {
	p := newQuietPair(t)
	p.byTurns(3)
	v := p.reader.View("v")
	_, err := v.Chunk(2)
	require.NoError(t, err)
	p.clock = p.clock.Add(time.Second)
	p.byTurns(3)
	for off, std := range []Std{1, 2, 1, 1, 2, 1} {
		c, err := v.Chunk(int64(off))
		require.NoError(t, err)
		require.Equal(t, std, c.Std, "offset %d", off)
	}
}

// The capture path waits for no disk: fsync may take seconds, and the container's start, or the container, would wait.
func TestAWriterSyncsOnlyWhenItIsTold(t *testing.T) {
	p := newQuietPair(t)
	require.NoError(t, p.writer.CloseWriter())
	synced := 0
	s := newSpool(p.options(Writer))
	p.tune(s)
	s.disk.sync = func(*os.File) error { synced++; return nil }
	s.disk.syncDir = func(string) error { synced++; return nil }
	full := false
	s.disk.splice = func(pipe, fd int, off int64, n int) (int, error) {
		if full {
			return 0, unix.ENOSPC
		}
		return realDisk.splice(pipe, fd, off, n)
	}
	var err error
	p.writer, err = s.Write("c-2", []byte(`{}`), LogOptions{Raw: true, MaxBytes: p.limit})
	require.NoError(t, err)
	for i := range 100 {
		full = i >= 50
		_, err := unix.Write(p.pipes[0][1], []byte("line\n"))
		require.NoError(t, err)
		_, _ = p.writer.TakeFrom(p.pipes[0][0], Stdout)
		p.clock = p.clock.Add(20 * time.Millisecond)
	}
	require.NotNil(t, p.writer.discarding)
	require.Zero(t, synced)
	p.writer.Tend()
	require.Zero(t, synced)
	require.NoError(t, p.writer.SyncAll())
	require.GreaterOrEqual(t, synced, 3, "manifest, losses and their names")
	before := synced
	require.NoError(t, p.writer.syncOwnFiles())
	require.Equal(t, before, synced, "nothing has changed since")
}

// A file system without an inode left must not keep a log from ending: a holder would be started for it again and again.
func TestALogEndsWithoutAnInode(t *testing.T) {
	p := newQuietPair(t)
	p.writer.spool.disk.create = func(string) (*os.File, error) { return nil, unix.ENOSPC }
	require.False(t, Ended(p.dir, "c-1"))
	require.NoError(t, p.writer.EndWriter())
	require.True(t, Ended(p.dir, "c-1"))
	_, err := os.Stat(filepath.Join(p.dir, "c-1", endedName))
	require.NoError(t, err)
	require.False(t, Ended(p.dir, "c-never"), "of a log that was never made it is not known")
	require.ErrorIs(t, os.Remove(filepath.Join(p.dir, "c-never")), fs.ErrNotExist)
}
