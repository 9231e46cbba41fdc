// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// The last line of a container that has ended is ended when nothing came of it for a while: not while the container runs, not
// while something is in its pipes, and again behind what came all the same.
func TestTheLastLineOfAContainer(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	now := time.Now()
	c := &manifest.Container{Runtime: "containerd", ID: "c1", Started: now}
	text, err := c.Encode()
	require.NoError(t, err)
	key := c.Key()
	w, err := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: 1 << 30, Log: quiet}).
		Write(key, text, spool.LogOptions{Raw: true, MaxBytes: 1 << 30})
	require.NoError(t, err)
	out, in, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	defer in.Close()
	take := func() {
		t.Helper()
		_, err := w.TakeFrom(int(out.Fd()), spool.Stdout)
		require.NoError(t, err)
	}
	exited := false
	s, err := Open(Options{Dir: dir, Log: quiet, Limits: spool.Limits{MaxBytes: 1 << 30, MaxBytesEach: 1 << 30},
		Views: func(string, *manifest.Container) (views, former map[string]int64) {
			return map[string]int64{"v": 0}, nil
		},
		Exited: func(of *manifest.Container) bool { return exited && of.ID == "c1" },
		Attach: func(*spool.Log, *manifest.Container) {}})
	require.NoError(t, err)
	_, err = in.WriteString("half")
	require.NoError(t, err)
	take()
	s.scan(t.Context())
	log := s.spool.Log(key)
	require.NotNil(t, log)
	view := log.View("v")
	wait := func() {
		t.Helper()
		require.NoError(t, log.Refresh())
		s.endLines(now)
		now = now.Add(2 * lastLineAfter)
		s.endLines(now)
	}
	wait()
	require.False(t, view.Ended(), "the container runs")

	exited = true
	held, err := os.OpenFile("/dev/null", os.O_RDONLY, 0)
	require.NoError(t, err)
	s.agent.take(key, [handover.Streams]*os.File{dup(t, out), held})
	_, err = in.WriteString(" a line")
	require.NoError(t, err)
	wait()
	require.False(t, view.Ended(), "something is in the pipe")
	take()
	s.endLines(now)
	require.NoError(t, log.Refresh())
	s.endLines(now.Add(lastLineAfter))
	require.False(t, view.Ended(), "something has come")
	wait()
	require.True(t, view.Ended())
	chunk, err := view.Chunk(10)
	require.NoError(t, err)
	require.True(t, chunk.EndsLine)
	require.EqualValues(t, len("half a line"), chunk.End)
	read := func(at int64) string {
		p := make([]byte, 100)
		n, err := view.ReadAt(p, at)
		require.NoError(t, err)
		return string(p[:n])
	}
	require.Equal(t, "half a line", read(0))
	require.True(t, view.Ended(), "it has not read behind it")
	require.Empty(t, read(11))
	require.False(t, view.Ended())

	_, err = in.WriteString("more")
	require.NoError(t, err)
	take()
	require.NoError(t, log.Refresh())
	chunk, err = view.Chunk(10)
	require.NoError(t, err)
	require.True(t, chunk.EndsLine)
	require.EqualValues(t, 11, chunk.End)
	chunk, err = view.Chunk(11)
	require.NoError(t, err)
	require.False(t, chunk.EndsLine)
	wait()
	require.True(t, view.Ended())
	require.Equal(t, "more", read(11))

	require.NoError(t, w.EndWriter())
	require.NoError(t, log.Refresh())
	s.endLines(now)
	require.Empty(t, s.tails)
	s.agent.closeAll()
	require.NoError(t, s.spool.Close(context.Background()))
}

func dup(t *testing.T, f *os.File) *os.File {
	t.Helper()
	raw, err := f.SyscallConn()
	require.NoError(t, err)
	var again *os.File
	require.NoError(t, raw.Control(func(fd uintptr) {
		var n int
		n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		again = os.NewFile(uintptr(n), "pipe")
	}))
	require.NoError(t, err)
	return again
}
