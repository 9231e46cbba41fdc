// SPDX-License-Identifier: Apache-2.0

package capture_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/capture"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// rig is a spool and a FIFO that the test writes as the engine does.
type rig struct {
	spool *spool.Spool
	log   *spool.Log
	path  string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	s := spool.Open(spool.Options{Dir: filepath.Join(t.TempDir(), "streams"), MaxBytes: 1 << 30,
		SyncInterval: time.Second, Log: quiet})
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	l, err := s.Create("c-1", []byte("{}"), spool.LogOptions{Views: map[string]int64{"v": 0}, MaxBytes: 1 << 30})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	return &rig{s, l, path}
}

// engine opens the FIFO as the engine does: for reading and writing, so that it survives the plugin.
func (r *rig) engine(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func (r *rig) start(t testing.TB, o capture.Options) *capture.Capture {
	t.Helper()
	o.Interval, o.Log = 2*time.Millisecond, quiet
	c, err := capture.Start(r.path, r.log, o)
	require.NoError(t, err)
	return c
}

// content reads all that the log holds, up to its end for good.
func (r *rig) content(t testing.TB) []byte {
	t.Helper()
	var all []byte
	p := make([]byte, 64<<10)
	for {
		n, err := r.log.View("v").ReadAt(p, int64(len(all)))
		all = append(all, p[:n]...)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		require.NotZero(t, n, "the log has not ended")
	}
}

func TestStopDrainsToTheEnd(t *testing.T) {
	r := newRig(t)
	w := r.engine(t)
	c := r.start(t, capture.Options{})
	var want []byte
	for i := range 20_000 {
		frame := framestest.Line("line %d", i)
		want = append(want, frame...)
		_, err := w.Write(frame)
		require.NoError(t, err)
	}
	require.NoError(t, c.Stop(t.Context()))
	require.True(t, bytes.Equal(want, r.content(t)))
}

// The engine dies: nobody holds the FIFO any more.
func TestWriterGone(t *testing.T) {
	r := newRig(t)
	w := r.engine(t)
	gone := make(chan struct{})
	c := r.start(t, capture.Options{WriterGone: func() { close(gone) }})
	_, err := w.Write(framestest.Line("last words"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	<-gone
	require.Equal(t, framestest.Line("last words"), r.content(t))
	require.NoFileExists(t, r.path)
	require.NoError(t, c.Stop(t.Context()))
}

// The engine opens the FIFO in a goroutine of its own, which may come after StartLogging.
func TestFreshFIFOWithoutWriter(t *testing.T) {
	r := newRig(t)
	c := r.start(t, capture.Options{})
	w := r.engine(t)
	_, err := w.Write(framestest.Line("late"))
	require.NoError(t, err)
	require.NoError(t, c.Stop(t.Context()))
	require.Equal(t, framestest.Line("late"), r.content(t))
}

// A FIFO that outlived a reboot has no writer and never will have.
func TestResumedFIFOWithoutWriter(t *testing.T) {
	r := newRig(t)
	gone := make(chan struct{})
	r.start(t, capture.Options{Resumed: true, WriterGone: func() { close(gone) }})
	<-gone
	require.Empty(t, r.content(t))
}

// What is written while no plugin runs waits in the FIFO.
func TestLeaveAndResume(t *testing.T) {
	r := newRig(t)
	w := r.engine(t)
	c := r.start(t, capture.Options{})
	var want []byte
	for _, part := range []string{"before", "between", "after"} {
		frame := framestest.Line("%s", part)
		want = append(want, frame...)
		_, err := w.Write(frame)
		require.NoError(t, err)
		switch part {
		case "before":
			require.NoError(t, c.Suspend(t.Context()))
		case "between":
			c = r.start(t, capture.Options{Resumed: true})
		}
	}
	require.NoError(t, c.Stop(t.Context()))
	require.Equal(t, want, r.content(t))
}

// docker logs on a stopped container: a stream without a byte leaves nothing.
func TestNothingWritten(t *testing.T) {
	r := newRig(t)
	r.engine(t)
	c := r.start(t, capture.Options{})
	require.NoError(t, c.Stop(t.Context()))
	require.Empty(t, r.spool.Logs())
	_, err := r.log.View("v").ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, io.EOF)
}

func TestNotAFIFO(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := capture.Start(path, r.log, capture.Options{Interval: time.Millisecond, Log: quiet})
	require.ErrorContains(t, err, "not a FIFO")
	_, err = capture.Start(filepath.Join(t.TempDir(), "none"), r.log, capture.Options{Interval: time.Millisecond, Log: quiet})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// BenchmarkCapture moves frames of 190-byte lines from a FIFO to segments, while a reader releases them; cpu-ns/MB is
// what the whole process spends, the writer included.
func BenchmarkCapture(b *testing.B) {
	r := newRig(b)
	w := r.engine(b)
	c := r.start(b, capture.Options{})
	frame := framestest.Line("%0190d", 7)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	var before, after unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &before))
	v := r.log.View("v")
	for i := 0; b.Loop(); i++ {
		if _, err := w.Write(frame); err != nil {
			b.Fatal(err)
		}
		if i%10_000 == 0 {
			v.Release(v.End())
		}
	}
	require.NoError(b, c.Stop(context.Background()))
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &after))
	cpu := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/(float64(b.N*len(frame))/1e6), "cpu-ns/MB")
}

// What a container writes while the plugin is not there has to fit into the pipe: the first FIFOs are large from the
// start, the others stay as they are until they need more, and what a closed one had is free for the next.
func TestTheFirstPipesAreLargeFromTheStart(t *testing.T) {
	const large, small, first = 1 << 20, 64 << 10, 32
	size := func() int {
		r := newRig(t)
		w := r.engine(t)
		c := r.start(t, capture.Options{})
		t.Cleanup(func() { require.NoError(t, c.Stop(context.Background())) })
		n, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
		require.NoError(t, err)
		return n
	}
	for i := range first {
		require.Equal(t, large, size(), "FIFO %d", i)
	}
	require.Equal(t, small, size())
}
