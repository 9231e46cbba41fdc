// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/handover"
)

// serve starts an agent over a directory whose path is short enough for a socket's.
func serve(t *testing.T, options ...func(*Agent)) *Agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "la")
	require.NoError(t, err)
	a := &Agent{Dir: dir, Log: slog.New(slog.DiscardHandler), Ended: func(string) bool { return true },
		Hold: func(string, [handover.Streams]*os.File, func(bool)) error {
			t.Error("a process was started")
			return nil
		}}
	for _, set := range options {
		set(a)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, os.RemoveAll(dir))
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", filepath.Join(dir, handover.SocketName)) // the file exists before anybody listens
		return err == nil && conn.Close() == nil
	}, 5*time.Second, time.Millisecond)
	return a
}

func pipes(t *testing.T, n int) (fds []int) {
	t.Helper()
	for range n {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		t.Cleanup(func() { r.Close(); w.Close() })
		fds = append(fds, int(r.Fd()))
	}
	return fds
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

// Whatever comes through the socket: it is refused, its descriptors are closed, and the next logger is served.
func TestMessagesThatAreRefused(t *testing.T) {
	a := serve(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer file.Close()
	two, one, four, many := pipes(t, 2), pipes(t, 1), pipes(t, 4), pipes(t, 40)
	for name, m := range map[string]struct {
		key string
		fds []int
	}{
		"none":          {"c-1", nil},
		"one":           {"c-1", one},
		"four":          {"c-1", four},
		"cut short":     {"c-1", many},
		"a file":        {"c-1", []int{two[0], int(file.Fd())}},
		"no key":        {"\x00", two},
		"a path":        {"../../etc/c-1", two},
		"a parent":      {"..", two},
		"too long":      {strings.Repeat("x", handover.MaxKey+1), two},
		"much too long": {strings.Repeat("x", 64<<10), two},
	} {
		t.Run(name, func(t *testing.T) {
			before := openDescriptors(t)
			conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(a.Dir, handover.SocketName), Net: "unix"})
			require.NoError(t, err)
			var rights []byte
			if len(m.fds) > 0 {
				rights = unix.UnixRights(m.fds...)
			}
			_, _, err = conn.WriteMsgUnix([]byte(m.key), rights, nil)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
			_, err = conn.Read(make([]byte, 1))
			require.Error(t, err)
			var timeout net.Error
			require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection was not closed")
			require.NoError(t, conn.Close())
			require.Zero(t, a.Held())
			require.Eventually(t, func() bool { return openDescriptors(t) <= before }, 5*time.Second, time.Millisecond, "descriptors leak")
		})
	}
	// A good one beside them, and its end.
	o := handover.NewOffer(a.Dir, "c-1", [handover.Streams]int{two[0], two[1]})
	o.Step()
	require.GreaterOrEqual(t, o.FD(), 0)
	require.Eventually(t, func() bool { return a.Holds("c-1") }, 5*time.Second, time.Millisecond)
	unix.Close(o.FD())
	require.Eventually(t, func() bool { return a.Held() == 0 }, 5*time.Second, time.Millisecond, "a container that has ended is still held")
}

// A connection that says nothing holds up nobody else.
func TestSilentConnections(t *testing.T) {
	a := serve(t)
	for range 50 {
		conn, err := net.Dial("unix", filepath.Join(a.Dir, handover.SocketName))
		require.NoError(t, err)
		defer conn.Close()
	}
	fds := pipes(t, 2)
	o := handover.NewOffer(a.Dir, "c-1", [handover.Streams]int{fds[0], fds[1]})
	o.Step()
	require.Eventually(t, func() bool { return a.Holds("c-1") }, 5*time.Second, time.Millisecond)
	unix.Close(o.FD())
}

// A process that dies before it has given anything, or that can't mark the end of a log, is not started for ever, and none
// is forgotten: the container would wait for ever for somebody to read what it writes.
func TestAProcessThatDiesAtOnceIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu       sync.Mutex
			starts   []time.Duration
			life     time.Duration
			finished bool
		)
		begun := time.Now()
		a := &Agent{Log: slog.New(slog.DiscardHandler), Ended: func(string) bool { return false }}
		a.Hold = func(_ string, _ [handover.Streams]*os.File, exited func(bool)) error {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Since(begun))
			time.AfterFunc(life, func() {
				mu.Lock()
				well := finished
				mu.Unlock()
				exited(well)
			})
			return nil
		}
		started := func() []time.Duration {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(starts)
		}
		set := func(d time.Duration, well bool) {
			mu.Lock()
			defer mu.Unlock()
			life, finished = d, well
		}
		a.take("c-1", [handover.Streams]*os.File{})
		a.left("c-1")
		time.Sleep(time.Minute)
		all := started()
		require.Greater(t, len(all), 5)
		require.Less(t, len(all), 15, "%v", all)
		require.Equal(t, restartPause, all[1]-all[0])
		require.True(t, a.Holds("c-1"))

		set(time.Hour, false) // the next one lives
		time.Sleep(30 * time.Minute)
		n := len(started())
		a.take("c-1", [handover.Streams]*os.File{}) // and gives what it has
		a.left("c-1")
		require.Len(t, started(), n, "it has not ended yet")
		time.Sleep(time.Hour)
		require.Len(t, started(), n+1)

		set(time.Second, true) // all was captured, whatever Ended says
		time.Sleep(2 * time.Hour)
		require.Len(t, started(), n+1)
		require.False(t, a.Holds("c-1"))
	})
}
