// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/stream"
)

func TestDropOldestIsExact(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10})
	for range 40 {
		r.write(100)
	}
	require.LessOrEqual(t, r.log.Stored(), int64(64<<10))
	frames, gaps, end := r.read("v", 0)
	require.Len(t, gaps, 1, "what is dropped piece after piece is one gap")
	require.EqualValues(t, 4000, frames+gaps[0].Records)
	require.Equal(t, gaps[0].To-gaps[0].From, gaps[0].Bytes)
	require.Equal(t, r.log.End(), end)
	require.Equal(t, "spool full", gaps[0].Reason)
}

// What is dropped is counted at once, though its reader has not come there, and not any more when it has.
func TestDroppedIsCountedBeforeItsReaderComesThere(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10})
	for range 40 {
		r.write(100)
	}
	v := r.log.View("v")
	gaps, records, bytes := v.GivenUp(0)
	require.EqualValues(t, 1, gaps)
	frames, met, end := r.read("v", 0)
	require.Equal(t, met[0].Records, records)
	require.Equal(t, met[0].Bytes, bytes)
	require.EqualValues(t, 4000, frames+records)
	gaps, _, _ = v.GivenUp(end)
	require.Zero(t, gaps)
}

// A reader that has returned to its checkpoint holds nothing back: what it had read may be dropped.
func TestARewoundReaderHoldsNothingBack(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10})
	r.write(50)
	_, _, end := r.read("v", 0)
	r.log.View("v").Rewind(0)
	for range 20 {
		r.write(100)
	}
	frames, gaps, _ := r.read("v", 0)
	require.Len(t, gaps, 1)
	require.Less(t, gaps[0].From, end)
	require.EqualValues(t, 2050, frames+gaps[0].Records)
}

// What was read and not yet acknowledged is in flight: it is never dropped, since it will still be delivered.
func TestDropSparesWhatIsInFlight(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10})
	r.write(50)
	frames, _, end := r.read("v", 0)
	require.EqualValues(t, 50, frames)
	for range 20 {
		r.write(100)
	}
	n, err := r.log.pread(make([]byte, end), 0, end)
	require.NoError(t, err)
	require.EqualValues(t, end, n)
	_, gaps, _ := r.read("v", end)
	require.Equal(t, end, gaps[0].From)
}

// One reader is far behind, the other is not: only the first loses something.
func TestDropConcernsTheSlowReader(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10, Views: map[string]int64{"slow": 0, "fast": 0}})
	var off, seen int64
	for range 20 {
		r.write(100)
		n, gaps, end := r.read("fast", off)
		require.Empty(t, gaps)
		seen, off = seen+n, end
		r.log.View("fast").Release(off)
	}
	require.EqualValues(t, 2000, seen)
	frames, gaps, _ := r.read("slow", 0)
	require.NotEmpty(t, gaps)
	require.EqualValues(t, 2000, frames+gaps[0].Records)
}

func TestLargestBacklogIsDroppedFirst(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.write(100)
	small := r.log
	var err error
	r.log, err = r.spool.Create("c-2", nil, LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	require.NoError(t, err)
	r.spool.opt.MaxBytes = 128 << 10
	for range 20 {
		r.write(100)
	}
	_, gaps, _ := r.read("v", 0)
	require.NotEmpty(t, gaps)
	r.log = small
	frames, gaps, _ := r.read("v", 0)
	require.Empty(t, gaps)
	require.EqualValues(t, 100, frames)
	require.LessOrEqual(t, r.spool.StoredBytes(), int64(128<<10))
}

func TestDropSurvivesAKill(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10})
	for range 20 {
		r.write(100)
	}
	r.reopen(LogOptions{MaxBytes: 64 << 10, Views: map[string]int64{"v": 0}})
	frames, gaps, _ := r.read("v", 0)
	require.Len(t, gaps, 1)
	require.EqualValues(t, 2000, frames+gaps[0].Records)
}

func TestBlockWaitsThenDrops(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10, WhenFull: Block, BlockTimeout: 10 * time.Second})
	began := r.clock
	for range 10 {
		r.write(100)
	}
	require.GreaterOrEqual(t, r.clock.Sub(began), 10*time.Second)
	frames, gaps, _ := r.read("v", 0)
	require.NotEmpty(t, gaps)
	require.EqualValues(t, 1000, frames+gaps[0].Records)
}

func TestBlockEndsWhenThereIsRoom(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10, WhenFull: Block, BlockTimeout: time.Hour})
	var off, seen int64
	for range 30 {
		for range 100 {
			r.write(1)
			if r.log.stored.Load() > 60<<10 {
				n, gaps, end := r.read("v", off)
				require.Empty(t, gaps)
				seen, off = seen+n, end
				r.log.View("v").Release(off)
				r.spool.maintain(false)
			}
		}
	}
	n, gaps, _ := r.read("v", off)
	require.Empty(t, gaps)
	require.EqualValues(t, 3000, seen+n)
}

// The disk is full, then not: what could not be stored is one gap, and its count survives a kill in the middle.
func TestFullDisk(t *testing.T) {
	for _, kill := range []bool{false, true} {
		r := newRig(t, LogOptions{})
		r.write(200)
		full := func(int, int, int64, int) (int, error) { return 0, unix.ENOSPC }
		r.spool.disk.splice = full
		r.spool.disk.allocate = func(int, int64) error { return unix.ENOSPC }
		r.write(300)
		r.clock = r.clock.Add(2 * time.Second)
		r.write(100)
		r.spool.maintain(true)
		if kill {
			r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
		}
		r.spool.disk = realDisk
		r.clock = r.clock.Add(2 * time.Second)
		r.write(50)
		frames, gaps, end := r.read("v", 0)
		require.Len(t, gaps, 1)
		require.Equal(t, "disk full", gaps[0].Reason)
		require.EqualValues(t, 400, gaps[0].Records)
		require.EqualValues(t, 250, frames)
		require.Equal(t, r.log.End(), end)
	}
}

// A file system that can't splice is written to; where that fails, what left the pipe is counted.
func TestWithoutSplice(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.spool.disk.splice = func(int, int, int64, int) (int, error) { return 0, unix.EINVAL }
	r.write(200)
	r.spool.disk.write = func(f *os.File, p []byte, off int64) (int, error) {
		n, _ := realDisk.write(f, p[:len(p)/2], off)
		return n, unix.EIO
	}
	r.write(100)
	r.spool.disk.write = realDisk.write
	r.clock = r.clock.Add(2 * time.Second)
	r.write(50)
	frames, gaps, _ := r.read("v", 0)
	require.Len(t, gaps, 1)
	require.EqualValues(t, 350, frames+gaps[0].Records)
}

// The manifest can't be written at first: the container is not held up, and the manifest follows.
func TestJournalFollows(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.spool.disk.create = func(string) (*os.File, error) { return nil, unix.EROFS }
	var err error
	r.log, err = r.spool.Create("c-2", []byte(`{}`), LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	require.NoError(t, err)
	r.write(10)
	r.spool.disk.create = realDisk.create
	r.clock = r.clock.Add(2 * time.Second)
	r.spool.maintain(true)
	require.FileExists(t, filepath.Join(r.dir, "c-2", manifestName))
	r.write(10)
	frames, gaps, _ := r.read("v", 0)
	require.EqualValues(t, 10, frames)
	require.Len(t, gaps, 1)
	require.EqualValues(t, 10, gaps[0].Records)
}

// A crash of the machine lost bytes that were acknowledged but not synced: their offsets are not given to others.
func TestEndIsNeverBeforeACheckpoint(t *testing.T) {
	r := newRig(t, LogOptions{Views: map[string]int64{"a": 0, "b": 0}})
	r.write(10)
	lost := r.log.End()
	segs := *r.log.segments.Load()
	require.NoError(t, os.Truncate(segs[0].name, lost/2))
	r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"a": lost, "b": 0}})
	require.Equal(t, lost, r.log.End())
	r.write(10)
	frames, gaps, _ := r.read("a", lost)
	require.Empty(t, gaps)
	require.EqualValues(t, 10, frames)
	require.NotPanics(t, func() {
		p := make([]byte, 8<<10)
		_, err := r.log.View("b").ReadAt(p, lost/2)
		var gap *stream.Gap
		require.ErrorAs(t, err, &gap)
		require.Equal(t, stream.Gap{From: lost / 2, To: lost, Records: -1, Bytes: lost - lost/2, Reason: "lost in a crash"}, *gap)
	})
}

// Released bytes of the segment that is being written are given back, too: an idle container holds no megabytes.
func TestReleasedIsPunched(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.spool.segmentSize = 4 << 20
	for range 10 {
		r.write(100)
	}
	r.log.View("v").Release(r.log.End())
	r.spool.maintain(false)
	require.Less(t, r.log.Stored(), int64(blockSize+1))
	var st unix.Stat_t
	require.NoError(t, unix.Stat(segmentName(r.log.dir, 0), &st))
	require.Less(t, st.Blocks*512, int64(64<<10))
}

func TestHistoryStaysAndGivesWay(t *testing.T) {
	r := newRig(t, LogOptions{History: 32 << 10, MaxBytes: 1 << 20})
	for range 10 {
		r.write(100)
	}
	r.log.View("v").Release(r.log.End())
	r.log.Finish()
	r.spool.maintain(false)
	require.InDelta(t, 32<<10, r.log.Stored(), 8<<10)
	p := make([]byte, 64<<10)
	n, at, err := r.log.Replay(p, 0)
	require.NoError(t, err)
	require.Equal(t, r.log.End(), at+int64(n))
	r.reopen(LogOptions{History: 32 << 10, MaxBytes: 1 << 20, Views: map[string]int64{"v": 0}})
	require.Nil(t, r.log.View("v"), "what was delivered is not to be delivered again")
	r.spool.opt.MaxBytes = 1 << 10
	r.spool.maintain(false)
	entries, err := os.ReadDir(r.dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestStoredJudgesJournals(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.write(1)
	for dir, files := range map[string]map[string]string{
		"c-torn":    {manifestName: `{"a":`},
		"c-none":    {},
		"c-damaged": {manifestName: `{"a":`, "00000000000000000000.seg": "x"},
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(r.dir, dir), 0o700))
		for name, content := range files {
			require.NoError(t, os.WriteFile(filepath.Join(r.dir, dir, name), []byte(content), 0o600))
		}
	}
	r.open()
	stored, err := r.spool.Stored()
	require.ErrorContains(t, err, "c-damaged")
	require.Equal(t, []Stored{{Key: "c-1", Manifest: []byte(`{"a":1}`)}, {Key: "c-damaged"}}, stored,
		"what is stored under a damaged manifest is still to be delivered")
	require.NoDirExists(t, filepath.Join(r.dir, "c-torn"))
	require.NoDirExists(t, filepath.Join(r.dir, "c-none"))
}

// Whatever a crash of the machine or a failing disk made of the files: nothing panics, nothing hangs, and what is
// dropped from the mess is told.
func TestDamagedFiles(t *testing.T) {
	rng, rounds := rand.New(rand.NewPCG(1, 2)), 300
	if testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		r := newRig(t, LogOptions{MaxBytes: 64 << 10})
		r.write(200)
		for range 1 + rng.IntN(4) {
			r.damage(rng)
		}
		r.reopen(LogOptions{MaxBytes: 16 << 10, Views: map[string]int64{"v": 0}})
		r.write(100)
		r.spool.disk.splice = func(int, int, int64, int) (int, error) { return 0, unix.EIO }
		r.write(10)
		r.spool.disk = realDisk
		r.clock = r.clock.Add(2 * time.Second)
		r.write(100)
		r.log.Finish()
		off, p := int64(0), make([]byte, 4<<10)
		for i := 0; off < r.log.End(); i++ {
			require.Less(t, i, 10_000, "round %d hangs at %d", round, off)
			n, err := r.log.View("v").ReadAt(p, off)
			if gap, ok := err.(*stream.Gap); ok {
				require.Greater(t, gap.To, off)
				off = gap.To
			}
			off += int64(n)
		}
	}
}

func (r *rig) damage(rng *rand.Rand) {
	files, err := filepath.Glob(filepath.Join(r.log.dir, "*"))
	require.NoError(r, err)
	name := files[rng.IntN(len(files))]
	b, err := os.ReadFile(name)
	require.NoError(r, err)
	switch {
	case len(b) == 0 || rng.IntN(4) == 0:
		require.NoError(r, os.Remove(name))
		return
	case rng.IntN(2) == 0:
		b = b[:rng.IntN(len(b))]
	default:
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	}
	require.NoError(r, os.WriteFile(name, b, 0o600))
}

// A view that leaves out what another has read is where that is, and drops what it would have dropped then. What was given up
// for it, it reads by itself, to be told.
func TestAViewFollowsAnother(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10})
	r.write(50)
	_, _, end := r.read("v", 0)
	v := r.log.View("v")
	v.Rewind(0)
	require.True(t, v.Follow(0, end))
	require.Equal(t, end, v.read)
	require.LessOrEqual(t, v.boundary(), end)
	for range 20 {
		r.write(100)
	}
	_, gaps, _ := r.read("v", end)
	require.Len(t, gaps, 1)
	require.GreaterOrEqual(t, gaps[0].From, end, "what it has is not dropped for it")
	require.False(t, v.Follow(gaps[0].From, gaps[0].To))
	require.False(t, v.Follow(end, gaps[0].To))
	require.True(t, v.Follow(gaps[0].To, r.log.End()))
}
