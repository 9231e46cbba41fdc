// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// model is what a log is to hold, beside the log that holds it: every byte that was written into the FIFO, and where the
// frames begin. The log may drop, lose and crash as it likes: each view has to see every byte once, or a gap that counts
// exactly the frames that it replaces.
type model struct {
	t      *rapid.T
	dir    string
	spool  *Spool
	log    *Log
	opt    LogOptions
	clock  time.Time
	faulty error // what the disk answers
	pipe   [2]int

	written []byte         // into the pipe
	starts  map[int64]bool // boundaries between frames in written
	cut     []byte         // the rest of a frame that was written in part
	views   map[string]*reader
}

// reader is what the model knows of a view.
type reader struct{ cursor, released int64 }

func newModel(t *rapid.T, dir string) *model {
	m := &model{t: t, dir: dir, clock: time.Unix(1e9, 0), starts: map[int64]bool{0: true}, views: map[string]*reader{}}
	m.opt = LogOptions{
		Views:    map[string]int64{},
		MaxBytes: rapid.Int64Range(8<<10, 64<<10).Draw(t, "budget"),
		History:  rapid.SampledFrom([]int64{0, 0, 4 << 10}).Draw(t, "history"),
	}
	for _, name := range []string{"a", "b"}[:rapid.IntRange(1, 2).Draw(t, "views")] {
		m.views[name] = &reader{}
		m.opt.Views[name] = 0
	}
	require.NoError(t, unix.Pipe2(m.pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	m.open()
	var err error
	m.log, err = m.spool.Create("c-1", []byte(`{}`), m.opt)
	require.NoError(t, err)
	return m
}

// open opens the spool without its goroutines: the model calls what they do.
func (m *model) open() {
	m.spool = newSpool(Options{Dir: m.dir, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	m.spool.now = func() time.Time { return m.clock }
	m.spool.segmentSize, m.spool.punchAtLeast = 4<<10, 4<<10
	m.spool.disk.splice = func(pipe, fd int, off int64, n int) (int, error) {
		if m.faulty != nil {
			return 0, m.faulty
		}
		return realDisk.splice(pipe, fd, off, n)
	}
	m.spool.disk.write = func(f *os.File, p []byte, off int64) (int, error) {
		if m.faulty != nil {
			return 0, m.faulty
		}
		return realDisk.write(f, p, off)
	}
	m.spool.disk.sync = func(*os.File) error { return m.faulty }
	m.spool.disk.syncDir = func(string) error { return m.faulty }
	m.spool.disk.allocate = func(int, int64) error { return m.faulty }
}

// write puts frames into the pipe, the last maybe only in part; the rest comes first the next time.
func (m *model) write(t *rapid.T) {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	p := m.cut
	at := int64(len(m.written) + len(p))
	m.starts[at] = true
	for range rapid.IntRange(0, 20).Draw(t, "frames") {
		line := bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(2000))
		p = framestest.Append(p, framestest.Entry{Source: "stdout", TimeNano: 1 + rng.Int64N(1e18), Line: line})
		at = int64(len(m.written) + len(p))
		m.starts[at] = true
	}
	n := len(p)
	if n > 0 && rapid.Bool().Draw(t, "torn") {
		n = rng.IntN(n)
	}
	if n > 0 {
		n, _ = unix.Write(m.pipe[1], p[:n]) // a full pipe takes less, or nothing
	}
	n = max(n, 0)
	m.written, m.cut = append(m.written, p[:n]...), bytes.Clone(p[n:])
}

func (m *model) take(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "takes") {
		for m.log.Backpressure() > 0 {
			m.clock = m.clock.Add(10 * time.Millisecond)
			if rapid.Bool().Draw(t, "maintenance in time") {
				m.spool.maintain(false)
			}
		}
		_, err := m.log.Take(m.pipe[0])
		if err == ErrFull {
			m.clock = m.clock.Add(20 * time.Millisecond)
		} else if err != nil && err != ErrEmpty {
			t.Fatalf("take: %v", err)
		}
	}
}

// read reads as the pipeline does: whole frames are consumed, the rest is read again.
func (m *model) read(t *rapid.T) {
	name, r := m.pick(t)
	m.readOnce(t, name, r, make([]byte, rapid.IntRange(2100, 16<<10).Draw(t, "size")))
}

func (m *model) readOnce(t require.TestingT, name string, r *reader, p []byte) error {
	n, err := m.log.View(name).ReadAt(p, r.cursor)
	var gap *stream.Gap
	if errors.As(err, &gap) {
		require.LessOrEqual(t, gap.From, r.cursor)
		require.Greater(t, gap.To, r.cursor)
		require.True(t, m.starts[gap.From], "gap begins inside of a frame")
		require.True(t, m.starts[gap.To] || gap.To == int64(len(m.written)), "gap ends inside of a frame")
		require.Equal(t, m.framesBetween(gap.From, gap.To), gap.Records)
		require.Equal(t, gap.To-gap.From, gap.Bytes)
		r.cursor = gap.To
		return nil
	}
	if err != nil && err != io.EOF {
		require.NoError(t, err)
	}
	require.True(t, bytes.Equal(m.written[r.cursor:r.cursor+int64(n)], p[:n]), "%s reads other bytes at %d", name, r.cursor)
	for data := p[:n]; ; {
		_, rest, ok := framestest.Next(data)
		if !ok {
			break
		}
		r.cursor += int64(len(data) - len(rest))
		data = rest
	}
	return err
}

// framesBetween counts the frames that lie between two offsets as a whole.
func (m *model) framesBetween(from, to int64) (n int64) {
	for at := range m.starts {
		if at > from && at <= to {
			n++
		}
	}
	return n
}

func (m *model) release(t *rapid.T) {
	name, r := m.pick(t)
	at := rapid.Int64Range(r.released, r.cursor).Draw(t, "to")
	for !m.starts[at] {
		at++
	}
	r.released = min(at, r.cursor)
	m.log.View(name).Release(r.released)
}

func (m *model) pick(t *rapid.T) (string, *reader) {
	name := "a"
	if len(m.views) > 1 {
		name = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "view")
	}
	return name, m.views[name]
}

func (m *model) maintain(t *rapid.T) {
	m.clock = m.clock.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
	m.spool.maintain(rapid.Bool().Draw(t, "full"))
	if err := m.log.Sync(); m.faulty == nil {
		require.NoError(t, err)
	}
}

func (m *model) fault(t *rapid.T) {
	m.faulty = rapid.SampledFrom([]error{nil, unix.ENOSPC, unix.EIO, unix.EROFS}).Draw(t, "disk")
}

// crash is SIGKILL. While input is being discarded, that loses the count of what came since maintenance last persisted it,
// which is the documented price; the model first lets the disk recover and the gap end.
func (m *model) crash(t *rapid.T) {
	m.recover(t)
	m.spool.maintain(true)
	closeAll(m.log)
	m.open()
	stored, err := m.spool.Stored()
	require.NoError(t, err)
	require.Len(t, stored, 1)
	for name, r := range m.views {
		m.opt.Views[name] = r.released
		r.cursor = r.released
	}
	m.log, err = m.spool.Resume(stored[0].Key, m.opt)
	require.NoError(t, err)
}

// recover lets a gap that still grows end.
func (m *model) recover(t require.TestingT) {
	m.faulty = nil
	for i := 0; m.log.discarding != nil; i++ {
		require.Less(t, i, 100, "the loss does not end")
		m.clock = m.clock.Add(2 * time.Second)
		for _, r := range m.views {
			r.cursor = max(r.cursor, 0)
		}
		if !m.log.discarding.counter.boundary() {
			n, _ := unix.Write(m.pipe[1], m.cut)
			m.written, m.cut = append(m.written, m.cut[:max(n, 0)]...), m.cut[max(n, 0):]
		}
		for name, r := range m.views { // what is in flight keeps its place, so it has to be released for there to be room
			_ = m.readOnce(t, name, r, make([]byte, 16<<10))
			r.released = r.cursor
			m.log.View(name).Release(r.released)
		}
		m.spool.maintain(true)
		_, err := m.log.Take(m.pipe[0])
		if err != nil && err != ErrEmpty && err != ErrFull {
			require.NoError(t, err)
		}
	}
}

// finish ends the stream and reads every view to its end.
func (m *model) finish(t require.TestingT) {
	m.recover(t)
	for err := error(nil); err == nil || err == ErrFull; {
		if m.log.Backpressure() > 0 {
			m.clock = m.clock.Add(10 * time.Millisecond)
		}
		_, err = m.log.Take(m.pipe[0])
	}
	m.log.Finish()
	for name, r := range m.views {
		p := make([]byte, 16<<10)
		for i := 0; m.readOnce(t, name, r, p) != io.EOF; i++ {
			require.Less(t, i, 1<<20, "no end at %d of %d", r.cursor, m.log.End())
		}
		whole := int64(len(m.written))
		for !m.starts[whole] {
			whole--
		}
		require.Contains(t, []int64{whole, int64(len(m.written))}, r.cursor, "%s has not seen all", name)
		m.log.View(name).Release(m.log.End())
	}
	m.log.history.Store(0)
	m.log.opt.History = 0
	m.spool.maintain(true)
	entries, err := os.ReadDir(m.dir)
	require.NoError(t, err)
	require.Empty(t, entries, "something is left of a stream that is delivered")
	require.Zero(t, m.spool.StoredBytes())
}

func TestLogModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "spool")
		require.NoError(rt, err)
		m := newModel(rt, dir)
		defer unix.Close(m.pipe[0])
		defer unix.Close(m.pipe[1])
		rt.Repeat(map[string]func(*rapid.T){
			"write": m.write, "take": m.take, "read": m.read, "release": m.release, "maintain": m.maintain,
			"fault": m.fault, "crash": m.crash,
		})
		m.finish(rt)
	})
}
