// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/history"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// captured is a container's log, as a logging binary writes it.
type captured struct {
	t    *testing.T
	dir  string
	log  *spool.Log
	pipe [2]int
}

func capture(t *testing.T, dir string, c manifest.Container) *captured {
	t.Helper()
	l := &captured{t: t}
	require.NoError(t, unix.Pipe2(l.pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(l.pipe[0]); unix.Close(l.pipe[1]) })
	text, err := c.Encode()
	require.NoError(t, err)
	s := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	l.log, err = s.Write(c.Key(), text, spool.LogOptions{Raw: true, MaxBytes: 512 << 10}) // segments of 64 KiB
	require.NoError(t, err)
	l.dir = filepath.Join(dir, c.Key())
	return l
}

func (l *captured) write(std spool.Std, text string) {
	l.t.Helper()
	for len(text) > 0 {
		n, err := unix.Write(l.pipe[1], []byte(text[:min(len(text), 32<<10)]))
		require.NoError(l.t, err)
		for text = text[n:]; err == nil; {
			_, err = l.log.TakeFrom(l.pipe[0], std)
		}
		require.ErrorIs(l.t, err, spool.ErrEmpty)
	}
}

// shown is what History.Show writes.
func shown(t *testing.T, dir, container string, q history.Query) (stdout, stderr string) {
	t.Helper()
	h, err := FindHistory(dir, container)
	require.NoError(t, err)
	var out, errs bytes.Buffer
	require.NoError(t, h.Show(t.Context(), q, Output{Stdout: &out, Stderr: &errs, MaxRecord: 1 << 20}))
	return out.String(), errs.String()
}

var all = history.Query{Tail: -1}

func TestHistory(t *testing.T) {
	dir, started := t.TempDir(), time.Unix(1e9, 0)
	web := manifest.Container{Namespace: "shop", ID: "4711abc", Started: started, Labels: map[string]string{"nerdctl/name": "web"}}
	first := capture(t, dir, web)
	first.write(spool.Stdout, "one\n")
	require.NoError(t, first.log.EndWriter())
	web.Started = started.Add(time.Minute)
	second := capture(t, dir, web)
	second.write(spool.Stdout, "two\nand th")
	second.write(spool.Stderr, "wrong\n")
	second.write(spool.Stdout, "ree\n\xff\x00unfinished")
	capture(t, dir, manifest.Container{Namespace: "shop", ID: "4711xyz", Started: started}).write(spool.Stdout, "another's\n")
	capture(t, dir, manifest.Container{Namespace: "test", ID: "4711abc", Started: started}).write(spool.Stdout, "a third's\n")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "no log"), 0o700))

	for _, name := range []string{"web", "shop/4711abc"} {
		stdout, stderr := shown(t, dir, name, all)
		require.Equal(t, "one\ntwo\nand three\n\xff\x00unfinished\n", stdout, name)
		require.Equal(t, "wrong\n", stderr)
	}
	stdout, stderr := shown(t, dir, "web", history.Query{Tail: 2})
	require.Equal(t, "and three\n\xff\x00unfinished\n", stdout)
	require.Empty(t, stderr)
	stdout, _ = shown(t, dir, "web", history.Query{Tail: -1, Since: time.Now().Add(time.Hour)})
	require.Empty(t, stdout)
	stdout, _ = shown(t, dir, "4711x", all)
	require.Equal(t, "another's\n", stdout)
	_, err := FindHistory(dir, "4711abc")
	require.ErrorContains(t, err, "4711abc may be each of")
	for _, nobody := range []string{"", "nobody", "../x"} {
		_, err = FindHistory(dir, nobody)
		require.ErrorContains(t, err, "holds nothing of", nobody)
	}
	_, err = FindHistory(filepath.Join(dir, "none"), "web")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What the agent has given back is passed over: whole segments, and holes, which read as zeros.
func TestHistoryOfWhatWasGivenBack(t *testing.T) {
	dir := t.TempDir()
	l := capture(t, dir, manifest.Container{Namespace: "n", ID: "c", Started: time.Now()})
	for i := range 40 {
		l.write(spool.Stdout, fmt.Sprintf("%09d\n", i)+strings.Repeat("012345678\n", 999))
	}
	segments, err := filepath.Glob(filepath.Join(l.dir, "*.seg"))
	require.NoError(t, err)
	require.Greater(t, len(segments), 4)
	complete, _ := shown(t, dir, "c", all)
	require.Len(t, complete, 400_000)

	require.NoError(t, os.Remove(segments[0]))
	require.NoError(t, os.Remove(segments[2]))
	f, err := os.OpenFile(segments[1], os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8192, 4096))
	got, _ := shown(t, dir, "c", all)
	require.Greater(t, len(got), 200_000)
	require.NotContains(t, got, "\x00")
	require.NotContains(t, got, "000000000\n", "the first line is gone")
	require.Contains(t, got, "000000039\n")
}

func TestHistoryIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := capture(t, dir, manifest.Container{Namespace: "n", ID: "c", Started: time.Now()})
		l.write(spool.Stdout, "one\nunfi")
		h, err := FindHistory(dir, "c")
		require.NoError(t, err)
		lines := make(chan string, 10)
		done := make(chan error)
		go func() {
			done <- h.Show(t.Context(), history.Query{Tail: 1, Follow: true}, Output{Stdout: sent(lines), Stderr: sent(nil), MaxRecord: 1 << 20})
		}()
		l.write(spool.Stdout, "nished\n")
		require.Equal(t, "unfinished\n", <-lines)
		l.write(spool.Stdout, strings.Repeat("x", 100_000)+"\n")
		require.Len(t, <-lines, 100_001)
		l.write(spool.Stdout, "last")
		require.NoError(t, l.log.EndWriter())
		require.Equal(t, "last\n", <-lines)
		require.NoError(t, <-done)
	})
}

type sent chan string

func (s sent) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}
