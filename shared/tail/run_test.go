// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"os"
	"path/filepath"
	"testing"

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
