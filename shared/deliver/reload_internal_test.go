// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// growing is a stream of lines in memory.
type growing struct {
	mu   sync.Mutex
	text []byte
}

func (g *growing) Key() string                { return "s" }
func (g *growing) End() int64                 { g.mu.Lock(); defer g.mu.Unlock(); return int64(len(g.text)) }
func (g *growing) Ended() bool                { return false }
func (g *growing) Mark(int64) ([]byte, error) { return nil, nil }
func (g *growing) Release(int64)              {}
func (g *growing) ReadAt(p []byte, off int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := copy(p, g.text[min(off, int64(len(g.text))):])
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (g *growing) write(from, to int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := from; i < to; i++ {
		g.text = fmt.Appendf(g.text, "line %d\n", i)
	}
}

// The file changes while lines are delivered: to another place, to none, to what is wrong, and back. Each line
// arrives exactly once, where the output was at the time, and nothing that an output did not take is released.
func TestOutputsOfTheFileAreReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		config, a, b := filepath.Join(dir, "remora.yaml"), filepath.Join(dir, "a"), filepath.Join(dir, "b")
		writes := 0
		write := func(text string) {
			writes++
			require.NoError(t, os.WriteFile(config+".new", fmt.Appendf(nil, "%s# %d\n", text, writes), 0o600))
			require.NoError(t, os.Rename(config+".new", config))
			time.Sleep(3 * reloadEvery)
		}
		to := func(dir string) string {
			return "outputs:\n  hot: {kind: file, FILE_NAME: all, FILE_FORMAT: raw, FILE_PATH: " + dir + "}\n"
		}
		require.NoError(t, os.WriteFile(config, []byte(to(a)), 0o600))
		var log bytes.Buffer
		o := Options{Version: "1", Outputs: []string{"hot"}, StateDir: filepath.Join(dir, "state"), Environ: map[string]string{"REMORA_CONFIG": config},
			Log: slog.New(slog.NewTextHandler(&log, nil))}
		require.NoError(t, Load(nil, &o.Common, &o.Batching))
		d, err := Open(o)
		require.NoError(t, err)
		s := new(growing)
		feed, err := d.Attach(Request{Declaration: declare.Declaration{Name: "web", Format: "none"}, Stream: s, Path: "/w.log", Output: "hot"})
		require.NoError(t, err)
		d.Start()
		n := 0
		lines := func() { s.write(n, n+100); n += 100; time.Sleep(2 * time.Second) }
		arrived := func(dir string) int {
			names, _ := filepath.Glob(filepath.Join(dir, "all*"))
			total := 0
			for _, name := range names {
				text, err := os.ReadFile(name)
				require.NoError(t, err)
				total += bytes.Count(text, []byte("\n"))
			}
			return total
		}
		lines()
		require.Equal(t, 100, arrived(a))

		write(to(b))
		lines()
		require.Equal(t, []int{100, 100}, []int{arrived(a), arrived(b)})
		require.True(t, d.Owns(filepath.Join(b, "all"), 0, 0), "what the new output writes is not collected")

		write("outputs: {other: {kind: 'null'}}\n")
		lines()
		require.Equal(t, []int{100, 100}, []int{arrived(a), arrived(b)})
		require.EqualValues(t, 200, feed.Status(time.Now()).Counts.SentRecords, "what waits is not acknowledged")
		_, outputs, _ := d.Pipeline.Status(time.Now())
		require.Contains(t, fmt.Sprint(outputs[0].Err), "REMORA_CONFIG does not name the output hot any more")

		write("outputs: {hot: {kind: file, FILE_PTAH: /x}}\n")
		require.Contains(t, fmt.Sprint(d.named.faults()), "FILE_PTAH")
		write(to(a))
		require.Empty(t, d.named.faults())
		time.Sleep(time.Minute) // the longest pause between two tries
		require.Equal(t, []int{200, 100}, []int{arrived(a), arrived(b)})

		write("outputs: {hot: {kind: 'null'}}\n")
		require.Contains(t, fmt.Sprint(d.named.faults()), "outputs.hot.kind was file at the start")
		require.Equal(t, "file", d.Kind("hot"))
		lines()
		require.EqualValues(t, 400, feed.Status(time.Now()).Counts.SentRecords)
		require.Equal(t, []int{300, 100}, []int{arrived(a), arrived(b)})
		require.NoError(t, os.Remove(config))
		time.Sleep(3 * reloadEvery)
		lines()
		require.EqualValues(t, 500, feed.Status(time.Now()).Counts.SentRecords, "a file that is gone changes nothing")
		require.NotEmpty(t, d.named.faults())
		d.Stop()
		require.NoError(t, d.Close())
		require.Equal(t, 1, strings.Count(log.String(), "code=REM1011"))
	})
}

// stuck is an output that answers nobody, until its context ends.
type stuck struct {
	started chan struct{}
	closed  bool
}

func (s *stuck) Write(ctx context.Context, _ *record.Batch) error {
	s.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) Close() error { s.closed = true; return nil }

// Writes under way get a moment, and what comes meanwhile goes to the new output; nobody writes to one that is closed.
func TestAnOutputThatDoesNotAnswerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := &stuck{started: make(chan struct{}, 9)}, &stuck{started: make(chan struct{}, 9)}
		r := newReplaceable("hot", old)
		first := make(chan error)
		go func() { first <- r.Write(t.Context(), &record.Batch{}) }()
		<-old.started
		begun := time.Now()
		done := make(chan error)
		go func() { done <- r.replace(next) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error)
		go func() { second <- r.Write(ctx, &record.Batch{}) }()
		err := <-first
		require.ErrorContains(t, err, "is replaced")
		require.False(t, errors.Is(err, context.Canceled), "which would mean that the process stops")
		require.NoError(t, <-done)
		require.Equal(t, finishWrites, time.Since(begun))
		require.True(t, old.closed)
		<-next.started
		cancel()
		require.ErrorIs(t, <-second, context.Canceled)
		require.NoError(t, r.Close())
		late := &stuck{}
		require.NoError(t, r.replace(late))
		require.True(t, late.closed, "the pipeline has ended")
	})
}

// noting is an output that notes what it wrote, in the order of what is done with it.
type noting struct {
	name string
	done *[]string
}

func (n noting) note(what string) error {
	*n.done = append(*n.done, what+" "+n.name)
	return nil
}

func (n noting) Write(context.Context, *record.Batch) error { return n.note("write") }
func (n noting) Close() error                               { return n.note("close") }
func (n noting) Yield() error                               { return n.note("yield") }

// What a replaced output noted is for the one that follows, which begins when it is closed. Only the last one's is forgotten.
func TestAReplacedOutputLeavesWhatItNoted(t *testing.T) {
	var done []string
	r := newReplaceable("hot", noting{"a", &done})
	r.begin = func(o output.Output) { _ = o.(noting).note("begin") }
	require.NoError(t, r.replace(noting{"b", &done}))
	require.NoError(t, r.Write(t.Context(), &record.Batch{}))
	require.NoError(t, r.replace(nil))
	require.NoError(t, r.replace(noting{"c", &done}))
	require.NoError(t, r.Close())
	require.Equal(t, []string{"yield a", "begin b", "write b", "yield b", "begin c", "close c"}, done)
}

// A file output has its journal after a reload, too.
func TestAReloadedOutputHasItsJournal(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "remora.yaml")
	write := func(to string) {
		require.NoError(t, os.WriteFile(config, []byte("outputs:\n  hot: {kind: file, FILE_PATH: "+filepath.Join(dir, to)+"}\n"), 0o600))
	}
	write("a")
	o := Options{Version: "1", Outputs: []string{"hot"}, StateDir: filepath.Join(dir, "state"), Environ: map[string]string{"REMORA_CONFIG": config},
		Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, Load(nil, &o.Common, &o.Batching))
	d, err := Open(o)
	require.NoError(t, err)
	write("b")
	d.reloadOutputs(versionOf(config))
	require.Empty(t, d.named.faults())
	f, err := os.Open(filepath.Join(o.StateDir, "written-hot"))
	require.NoError(t, err)
	defer f.Close()
	require.ErrorIs(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK, "it is in use")
	d.Start()
	d.Stop()
	require.NoError(t, d.Close())
}
