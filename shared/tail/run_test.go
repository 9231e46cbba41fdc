// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail/find"
)

// attached is a Sink that reports what it is given.
type attached chan string

func (a attached) Attach(s stream.Stream, _ *Origin, _ *Selection, path, _ string, done func()) (func(), error) {
	buf := make([]byte, 100)
	n, err := s.ReadAt(buf, 0)
	if err != nil {
		return nil, err
	}
	a <- filepath.Base(path) + " " + string(buf[:n])
	return done, nil
}

func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	found := make(attached, 10)
	tailer, err := New(Config{Store: &memStore{entries: map[checkpoint.Key]checkpoint.Entry{}}, Sink: found})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tailer.Run(ctx)
	}()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("a.log", "one")
	require.Empty(t, tailer.Put(Origin{Root: find.Host(), Selections: []Selection{{Name: "a", Pattern: dir + "/*.log", Outputs: []string{"out"}}}}))
	require.Equal(t, "a.log one", <-found)
	write("other", "")
	require.NoError(t, os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, "b.log"))) // empty as it is, it is not attached
	write("c.log", "two")
	require.Equal(t, "c.log two", <-found)
	require.NoError(t, tailer.Drain(ctx))
	tailer.Resume()
	cancel()
	<-ended
	require.Equal(t, 3, tailer.Counts().Files)
	tailer.Close()
}

// A process must be able to stop although a file system does not answer.
func TestRunEndsWhileAFileSystemDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	tailer, err := New(Config{Store: &memStore{entries: map[checkpoint.Key]checkpoint.Entry{}}, Sink: make(attached, 1)})
	require.NoError(t, err)
	stuck, release := make(chan struct{}), make(chan struct{})
	tailer.openFile = func(*find.Tree, string) (*os.File, find.Stat, error) {
		close(stuck)
		<-release
		return nil, find.Stat{}, os.ErrPermission
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.log"), []byte("one"), 0o644))
	require.Empty(t, tailer.Put(Origin{Root: find.Host(), Selections: []Selection{{Name: "a", Pattern: dir + "/*.log", Outputs: []string{"out"}}}}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tailer.Run(ctx)
	}()
	<-stuck
	cancel()
	require.ErrorIs(t, tailer.Drain(ctx), context.Canceled)
	<-ended
	tailer.Close()
	close(release)
	tailer.stepping <- struct{}{} // the step ends
}

// clock is a clock that a test moves while the tailer runs.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// stuckStore is a store that does not answer once it is stuck.
type stuckStore struct {
	*memStore
	entered, release chan struct{}
}

func (s *stuckStore) Commit(map[checkpoint.Key]checkpoint.Entry, []checkpoint.Key) error {
	s.entered <- struct{}{}
	<-s.release
	return nil
}

// A loop that stands still is late, one that has a file system that does not answer is not, and nor is one that has ended.
func TestLate(t *testing.T) {
	for _, stuck := range []string{"file system", "loop"} {
		t.Run(stuck, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a.log"), []byte("one"), 0o644))
			clock := new(clock)
			clock.ns.Store(time.Now().UnixNano())
			store := &stuckStore{&memStore{entries: map[checkpoint.Key]checkpoint.Entry{}}, make(chan struct{}, 10), make(chan struct{})}
			tailer, err := New(Config{Store: store, Sink: make(attached, 1), Now: clock.now})
			require.NoError(t, err)
			if stuck == "file system" {
				close(store.release)
				tailer.openFile = func(*find.Tree, string) (*os.File, find.Stat, error) {
					store.entered <- struct{}{}
					<-t.Context().Done()
					return nil, find.Stat{}, os.ErrPermission
				}
			}
			require.Zero(t, tailer.Late(clock.now().Add(time.Hour)), "it does not run")
			require.Empty(t, tailer.Put(Origin{Root: find.Host(), Selections: []Selection{{Name: "a", Pattern: dir + "/*.log", Outputs: []string{"out"}}}}))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				tailer.Run(ctx)
			}()
			<-store.entered
			clock.pass(2 * time.Minute)
			if stuck == "loop" {
				require.Equal(t, 2*time.Minute, tailer.Late(clock.now()))
				close(store.release)
			}
			for tailer.Late(clock.now()) > 0 { // until it has turned again
				runtime.Gosched()
			}
			cancel()
			<-ended
			require.Zero(t, tailer.Late(clock.now().Add(time.Hour)))
		})
	}
}
