// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/stream"
)

// pair is a log that one process writes and another one reads: two spools over one directory that share nothing else.
type pair struct {
	*testing.T
	rng    *rand.Rand
	dir    string
	limit  int64
	writer *Log
	reader *Log
	clock  time.Time
	faulty error
	pipes  [2][2]int

	stored []byte // what was taken from the pipes, in this order
	stds   []Std  // of which stream each byte is
	cursor int64
	gaps   int
}

func newPair(t *testing.T, seed uint64) *pair {
	p := &pair{T: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: filepath.Join(t.TempDir(), "spool"), clock: time.Unix(1e9, 0)}
	p.limit = 32<<10 + p.rng.Int64N(128<<10)
	for i := range p.pipes {
		require.NoError(t, unix.Pipe2(p.pipes[i][:], unix.O_NONBLOCK|unix.O_CLOEXEC))
		t.Cleanup(func() { unix.Close(p.pipes[i][0]); unix.Close(p.pipes[i][1]) })
	}
	require.NoError(t, os.MkdirAll(p.dir, 0o700))
	require.NoError(t, PublishLimits(p.dir, Limits{MaxBytes: 1 << 30, MaxBytesEach: p.limit, WhenFull: "drop-oldest"}))
	p.openWriter()
	p.openReader()
	return p
}

func (p *pair) options(role Role) Options {
	return Options{Dir: p.dir, Role: role, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)}
}

func (p *pair) tune(s *Spool) {
	s.now = func() time.Time { return p.clock }
	s.segmentSize, s.punchAtLeast = 4<<10, 4<<10
}

func (p *pair) openWriter() {
	s := newSpool(p.options(Writer))
	p.tune(s)
	s.disk.splice = func(pipe, fd int, off int64, n int) (int, error) {
		p.refreshBetween()
		if p.faulty != nil {
			return 0, p.faulty
		}
		return realDisk.splice(pipe, fd, off, n)
	}
	s.disk.allocate = func(int, int64) error {
		p.refreshBetween()
		return p.faulty
	}
	var err error
	p.writer, err = s.Write("c-1", []byte(`{}`), LogOptions{Raw: true, MaxBytes: p.limit})
	require.NoError(p, err)
	_, err = newSpool(p.options(Writer)).Write("c-1", nil, LogOptions{Raw: true})
	require.ErrorIs(p, err, ErrLocked, "two processes write one log")
}

// refreshBetween refreshes the reader between two steps of the writer, or does not.
func (p *pair) refreshBetween() {
	if p.reader != nil && p.rng.IntN(2) == 0 {
		require.NoError(p, p.reader.Refresh())
	}
}

func (p *pair) openReader() {
	s := newSpool(p.options(Reader))
	p.tune(s)
	var err error
	p.reader, err = s.Follow("c-1", LogOptions{Raw: true, MaxBytes: p.limit, Views: map[string]int64{"v": p.cursor}})
	require.NoError(p, err)
}

// write puts lines, or pieces of one, into one of the pipes and takes them into the log.
func (p *pair) write() {
	which := p.rng.IntN(2)
	var text []byte
	for range p.rng.IntN(8) {
		text = append(text, bytes.Repeat([]byte{byte('a' + p.rng.IntN(26))}, p.rng.IntN(600))...)
		if p.rng.IntN(4) > 0 {
			text = append(text, '\n')
		}
	}
	if len(text) == 0 {
		return
	}
	n, err := unix.Write(p.pipes[which][1], text)
	require.NoError(p, err)
	p.clock = p.clock.Add(time.Duration(p.rng.IntN(20)) * time.Millisecond)
	for taken := 0; taken < n; {
		if pause := p.writer.Backpressure(); pause > 0 {
			p.clock = p.clock.Add(pause)
			if p.rng.IntN(2) == 0 {
				p.maintain()
			}
			continue
		}
		m, err := p.writer.TakeFrom(p.pipes[which][0], Std(which+1))
		if errors.Is(err, ErrFull) {
			p.clock = p.clock.Add(20 * time.Millisecond)
			continue
		}
		require.NoError(p, err)
		taken += m
	}
	p.stored = append(p.stored, text[:n]...)
	p.stds = append(p.stds, slices.Repeat([]Std{Std(which + 1)}, n)...)
}

func (p *pair) maintain() {
	require.NoError(p, p.reader.Refresh())
	p.reader.spool.maintain(true)
}

// read reads on, and checks every byte and every gap.
func (p *pair) read() error {
	require.NoError(p, p.reader.Refresh())
	v := p.reader.View("v")
	b := make([]byte, 1+p.rng.IntN(8<<10))
	n, err := v.ReadAt(b, p.cursor)
	var gap *stream.Gap
	if errors.As(err, &gap) {
		require.LessOrEqual(p, gap.From, p.cursor)
		lost := p.stored[gap.From:gap.To]
		require.EqualValues(p, bytes.Count(lost, newline), gap.Records, "gap %v", gap)
		require.EqualValues(p, len(lost), gap.Bytes)
		p.cursor, p.gaps = gap.To, p.gaps+1
		return nil
	}
	if !errors.Is(err, io.EOF) {
		require.NoError(p, err)
	}
	require.True(p, bytes.Equal(p.stored[p.cursor:p.cursor+int64(n)], b[:n]), "other bytes at %d", p.cursor)
	for at := p.cursor; at < p.cursor+int64(n); {
		c, chunkErr := v.Chunk(at)
		require.NoError(p, chunkErr)
		require.WithinRange(p, time.Unix(0, c.Time), time.Unix(1e9, 0), p.clock)
		stop := min(c.End, p.cursor+int64(n))
		require.Greater(p, stop, at)
		for ; at < stop; at++ {
			require.Equal(p, c.Std, p.stds[at], "byte %d", at)
		}
	}
	p.cursor += int64(n)
	return err
}

// killWriter is SIGKILL: its lock goes with its descriptors, and nothing else is done.
func (p *pair) killWriter() {
	p.writer.index.close()
	closeAll(p.writer)
	require.NoError(p, p.writer.lockFile.Close())
	p.openWriter()
}

func (p *pair) killReader() {
	closeAll(p.reader)
	p.openReader()
}

func (p *pair) finish() {
	p.faulty = nil
	p.clock = p.clock.Add(2 * retryPause)
	require.NoError(p, p.writer.EndWriter())
	for i := 0; p.read() != io.EOF; i++ {
		require.Less(p, i, 1<<20, "no end at %d of %d", p.cursor, len(p.stored))
		p.maintain()
	}
	require.EqualValues(p, len(p.stored), p.cursor)
	p.reader.View("v").Release(p.cursor)
	p.maintain()
	require.NoDirExists(p, filepath.Join(p.dir, "c-1"))
	require.Zero(p, p.reader.spool.StoredBytes())
}

// Whatever is killed, whatever the disk does: every byte is read once, as that of its stream, or is in a gap that counts its
// lines.
func TestWriterAndReaderAreTwoProcesses(t *testing.T) {
	var gaps int
	for seed := range uint64(80) {
		p := newPair(t, seed)
		for range 150 {
			switch p.rng.IntN(12) {
			case 0:
				p.killWriter()
			case 1:
				p.killReader()
			case 2:
				p.faulty = []error{nil, nil, unix.ENOSPC, unix.EIO}[p.rng.IntN(4)]
			case 3:
				p.clock = p.clock.Add(time.Duration(p.rng.IntN(3000)) * time.Millisecond)
				p.writer.Tend()
				require.NoError(t, p.writer.SyncAll())
			case 4:
				p.maintain()
			case 5, 6:
				_ = p.read()
			case 7:
				p.reader.View("v").Release(p.cursor)
			default:
				p.write()
			}
		}
		p.finish()
		gaps += p.gaps
	}
	require.Positive(t, gaps, "nothing was ever lost: the test does not try it")
}

// A disk had room for the name of the losses file and for nothing in it, and whoever wrote has gone: the log is read and written
// all the same.
func TestLossesThatWereCutShort(t *testing.T) {
	for _, size := range []int{0, 7} {
		p := newQuietPair(t)
		p.write()
		name := filepath.Join(p.dir, "c-1", lossesName)
		require.NoError(t, os.Truncate(name, int64(size)))
		closeAll(p.reader)
		s := newSpool(p.options(Reader))
		follow := func() (*Log, error) {
			return s.Follow("c-1", LogOptions{Raw: true, MaxBytes: p.limit, Views: map[string]int64{"v": 0}})
		}
		_, err := follow()
		require.ErrorIs(t, err, errDamaged, "it is being written, perhaps")
		p.writer.index.close()
		closeAll(p.writer)
		require.NoError(t, p.writer.lockFile.Close())
		p.reader, err = follow()
		require.NoError(t, err)
		p.openWriter()
		p.write()
		p.finish()
	}
}
