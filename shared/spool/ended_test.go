// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// end makes a log of n lines that has ended, of the container of that name.
func (r *rig) end(container string, start, n int, o LogOptions) *Log {
	r.Helper()
	if o.Views == nil {
		o.Views = map[string]int64{"v": 0}
	}
	o.MaxBytes = 1 << 30
	l, err := r.spool.Create(fmt.Sprintf("%s-%04d", container, start), []byte(`{}`), o)
	require.NoError(r, err)
	mine := r.log
	r.log = l
	r.write(n)
	r.log = mine
	r.clock = r.clock.Add(time.Second)
	l.Finish()
	return l
}

// What a small log costs is not its bytes but the blocks that the disk gives it.
func TestStoredBytesAreTheDisks(t *testing.T) {
	r := newRig(t, LogOptions{})
	for i := range 50 {
		r.end("small", i, 1, LogOptions{})
	}
	out, err := exec.Command("du", "--block-size=1", "--summarize", r.dir).Output()
	require.NoError(t, err)
	disk, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	require.NoError(t, err)
	require.InEpsilon(t, disk, r.spool.StoredBytes(), 0.25)
	require.Greater(t, r.spool.StoredBytes(), int64(50*4*blockSize-1))
}

func TestEndedLogsHoldNoDescriptor(t *testing.T) {
	r := newRig(t, LogOptions{})
	var logs []*Log
	for i := range 50 {
		logs = append(logs, r.end("c", i, 3, LogOptions{}))
	}
	require.Positive(t, r.spool.openFiles.Load())
	r.spool.maintain(true)
	r.spool.maintain(true)
	require.Zero(t, r.spool.openFiles.Load())
	for _, l := range logs {
		r.log = l
		frames, gaps, _ := r.read("v", 0)
		require.EqualValues(t, 3, frames)
		require.Empty(t, gaps)
	}
	r.spool.opt.MaxOpen = 10
	r.spool.maintain(false)
	require.LessOrEqual(t, r.spool.openFiles.Load(), int64(10))
}

// A log that is silent for a while is closed, and written again where it was.
func TestSilentLogIsClosedAndWrittenAgain(t *testing.T) {
	r := newRig(t, LogOptions{})
	for range 5 {
		r.write(7)
		r.spool.maintain(true)
		r.spool.maintain(true)
		require.Zero(t, r.spool.openFiles.Load())
	}
	frames, gaps, _ := r.read("v", 0)
	require.EqualValues(t, 35, frames)
	require.Empty(t, gaps)
}

// One container that starts over and over while the backend is down costs itself, and loses what is counted; those beside
// it keep all they have.
func TestTooManyEndedOfOneContainer(t *testing.T) {
	r := newRig(t, LogOptions{})
	var lost Evicted
	r.spool.opt.MaxEnded = 40
	r.spool.opt.Evicted = func(l *Log, e Evicted) {
		require.Equal(t, "crashing", l.Container())
		lost.Logs, lost.Records = lost.Logs+e.Logs, lost.Records+e.Records
	}
	var innocent []*Log
	for i := range 20 {
		innocent = append(innocent, r.end(fmt.Sprintf("innocent%02d", i), i, 10, LogOptions{}))
	}
	for i := range 200 {
		r.end("crashing", i, 2, LogOptions{})
		r.spool.maintain(false)
	}
	require.Equal(t, Evicted{Logs: 180, Records: 360}, lost)
	require.EqualValues(t, 180, r.spool.EvictedTotal().Logs)
	require.Nil(t, r.spool.Log("crashing-0179"))
	require.NotNil(t, r.spool.Log("crashing-0180"), "the newest are kept")
	for _, l := range innocent {
		r.log = l
		frames, gaps, _ := r.read("v", 0)
		require.EqualValues(t, 10, frames)
		require.Empty(t, gaps)
	}
	entries, err := os.ReadDir(r.dir)
	require.NoError(t, err)
	require.Len(t, entries, 41)
}

// History for docker logs goes before anything that was not delivered, and when it is a week old.
func TestHistoryGoesFirst(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.spool.opt.MaxEnded = 40
	deliver := func(l *Log) {
		l.View("v").Release(l.End())
		r.spool.maintain(false)
	}
	for i := range 20 {
		deliver(r.end("delivered", i, 1, LogOptions{History: 1 << 20}))
	}
	require.Len(t, r.spool.Logs(), 1+10, "a quarter of all may be history")
	for i := range 35 {
		r.end("waiting", i, 1, LogOptions{})
		r.spool.maintain(false)
	}
	require.Len(t, r.spool.Logs(), 1+40)
	require.Nil(t, r.spool.Log("delivered-0014"))
	require.NotNil(t, r.spool.Log("delivered-0015"))
	require.Zero(t, r.spool.EvictedTotal(), "what was delivered is not lost")
	names, err := filepath.Glob(filepath.Join(r.dir, "delivered-0019", "*"))
	require.NoError(t, err)
	require.Len(t, names, 3, "manifest, one segment and one marker: %v", names)
	r.clock = r.clock.Add(maxHistoryAge + time.Minute)
	r.spool.maintain(true)
	require.Len(t, r.spool.Logs(), 1+35)
}

// A disk that runs out of inodes costs the logs that have ended, not those that are written.
func TestFewInodes(t *testing.T) {
	r := newRig(t, LogOptions{})
	const inodes = 640
	r.spool.disk.space = func(string) (space, error) {
		used := int64(0)
		require.NoError(t, filepath.WalkDir(r.dir, func(string, os.DirEntry, error) error { used++; return nil }))
		return space{1 << 40, 1 << 40, inodes - used, inodes}, nil
	}
	for i := range 300 {
		l := r.end("crashing", i, 1, LogOptions{})
		require.Empty(t, *l.sharedGaps.Load(), "a line was lost for lack of inodes")
		r.spool.maintain(false)
		free, err := r.spool.disk.space("")
		require.NoError(t, err)
		require.Greater(t, free.inodes, int64(inodesPerLog))
	}
	require.Greater(t, len(r.spool.Logs()), alwaysEnded)
	r.write(10)
	frames, gaps, _ := r.read("v", 0)
	require.EqualValues(t, 10, frames)
	require.Empty(t, gaps)
}

// Others have used up the inodes: what has ended is kept up to a small number all the same.
func TestInodesThatOthersUse(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.spool.disk.space = func(string) (space, error) { return space{1 << 40, 1 << 40, 0, 1 << 20}, nil }
	for i := range 50 {
		r.end("c", i, 1, LogOptions{})
		r.spool.maintain(false)
	}
	require.Len(t, r.spool.Logs(), 1+alwaysEnded)
}

// Without a descriptor nothing is lost for some seconds: capture leaves the pipe alone.
func TestNoDescriptorLeft(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.write(10)
	idle := r.end("idle", 1, 5, LogOptions{})
	require.Positive(t, r.spool.openFiles.Load())
	r.spool.disk.create = func(string) (*os.File, error) { return nil, unix.EMFILE }
	var err error
	r.log, err = r.spool.Create("late-1", []byte(`{}`), LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	require.NoError(t, err, "a container starts without a descriptor")
	r.feed(10)
	for range 5 {
		_, err = r.log.Take(r.pipe[0])
		require.ErrorIs(t, err, ErrFull)
		r.clock = r.clock.Add(time.Second)
		r.spool.maintain(false)
	}
	require.Nil(t, (*idle.segments.Load())[0].file.Load(), "what is idle is closed at once")
	r.spool.disk.create = realDisk.create
	r.spool.maintain(true)
	r.take()
	frames, gaps, _ := r.read("v", 0)
	require.EqualValues(t, 10, frames)
	require.Empty(t, gaps)

	r.spool.disk.create = func(string) (*os.File, error) { return nil, unix.EMFILE }
	r.log, err = r.spool.Create("later-1", []byte(`{}`), LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	require.NoError(t, err)
	r.feed(10)
	r.take() // until it may wait no longer: the engine must not hang
	r.spool.disk.create = realDisk.create
	r.clock = r.clock.Add(2 * retryPause)
	r.write(1)
	frames, gaps, _ = r.read("v", 0)
	require.EqualValues(t, 1, frames)
	require.Len(t, gaps, 1)
	require.EqualValues(t, 10, gaps[0].Records)
	require.Equal(t, "no file descriptors left", gaps[0].Reason)
}
