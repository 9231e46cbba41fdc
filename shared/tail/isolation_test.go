// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// A file system that does not answer holds up neither the status nor a change of declarations, and a drain no longer
// than it was given.
func TestNobodyWaitsForAFileSystem(t *testing.T) {
	r := newRig(t, access).start()
	r.tailer.patience = time.Millisecond
	r.write("access.log", "one\n")
	stuck, release := make(chan struct{}), make(chan struct{})
	r.broken = func(string) error {
		close(stuck)
		<-release
		return errors.New("no answer")
	}
	stepped := make(chan struct{})
	go func() {
		r.tailer.step(true)
		close(stepped)
	}()
	<-stuck
	<-stepped
	r.tailer.Counts()
	r.tailer.Problems()
	r.tailer.Left()
	r.put("other", logs)
	r.tailer.End("other")
	r.tailer.Withdraw("other")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.tailer.Drain(ctx), context.Canceled)
	close(release)
	r.tailer.origins[""].step.Lock() // its step is over
	r.broken, r.tailer.patience = nil, time.Hour
	r.tailer.origins[""].step.Unlock()
	require.NoError(t, r.tailer.Drain(t.Context()))
	r.tailer.Resume()
	r.pass(2 * time.Second)
	r.wants("one")
}

// A volume that does not answer holds up the container that has it, and no other.
func TestAFileSystemThatDoesNotAnswerHoldsUpOneOrigin(t *testing.T) {
	r := newRig(t).start()
	r.put("stuck", logs)
	r.put("well", logs)
	r.pass(time.Second)
	stuck, release := make(chan struct{}), make(chan struct{})
	r.broken = func(path string) error { // by the time it returns, r may be in use
		if filepath.Base(path) == "stuck.log" {
			close(stuck)
			<-release
		}
		return nil
	}
	r.tailer.patience = time.Second / 10
	r.write("stuck/stuck.log", "late\n")
	r.write("well/app.log", "one\n")
	r.pass(2 * time.Second)
	<-stuck
	r.write("well/app.log", "two\n")
	r.put("new", logs)
	r.write("new/app.log", "new\n")
	r.tailer.Withdraw("stuck")
	r.put("stuck", logs)
	r.pass(2 * time.Second)
	r.wants("one", "two", "new")
	r.now = r.now.Add(noAnswerAfter)
	r.look()
	require.Contains(t, r.tailer.Problems(), Problem{"stuck", "file system", "it does not answer, is slow, or has very many new files"})
	r.tailer.patience = time.Hour
	close(release)
	r.tailer.origins["stuck"].step.Lock() // its step is over
	r.broken = nil
	r.tailer.origins["stuck"].step.Unlock()
	r.pass(5 * time.Second)
	r.wants("one", "two", "new", "late")
	require.Empty(t, r.tailer.Problems())
}

// One declaration's directories must not keep the files of another one from being read.
func TestAHugeTreeBesideAFile(t *testing.T) {
	r := newRig(t, Selection{Name: "huge", Pattern: "huge/**/*.log"}, Selection{Name: "one", Pattern: "one/*.log"})
	for i := range 3000 {
		require.NoError(t, os.MkdirAll(r.path(fmt.Sprintf("huge/%02d/%02d", i/60, i%60)), 0o755))
		if i%3 == 0 {
			require.NoError(t, os.Symlink("..", r.path(fmt.Sprintf("huge/%02d/%02d/up", i/60, i%60))))
		}
	}
	r.write("huge/00/00/x.log", "deep\n")
	r.write("one/x.log", "one\n")
	r.start().pass(5 * time.Second)
	r.wants("one", "deep")
	r.write("one/x.log", "two\n")
	r.look()
	r.wants("one", "deep", "two")
}

// A scan that takes more than one step continues, and files that are known are read meanwhile.
func TestAScanInSeveralSteps(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "**/*.log"}).start()
	var want []string
	for i := range 200 {
		l := fmt.Sprintf("file %d", i)
		r.write(fmt.Sprintf("%d/x.log", i%20*1000+i), l+"\n")
		want = append(want, l)
	}
	steps := 0
	for len(r.arrived) < len(want) {
		r.tailer.stepWithin(100, r.now, true)
		r.pump()
		require.Less(t, steps, 1000)
		steps++
	}
	require.Greater(t, steps, 5)
	r.wants(want...)
	r.rename("0/x.log", "0/y")
	r.rename("1001/x.log", "1001/y.log")
	for range steps {
		r.tailer.stepWithin(100, r.now, true)
		r.pump()
	}
	r.wants(want...)
	require.EqualValues(t, 1, r.tailer.Counts().Rotations)
}

func TestExcludeWithBraces(t *testing.T) {
	r := newRig(t).start()
	s := Selection{Name: "a", Pattern: r.path("*.log"), Exclude: []string{strings.Repeat("{a,aa}", 30)}, Outputs: []string{"out"}}
	errs := r.tailer.Put(Origin{Root: find.Host(), Selections: []Selection{s}})
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "256")
	s.Exclude = []string{"{a,aa}{b,bb}{c,cc}.log"}
	require.Empty(t, r.tailer.Put(Origin{Root: find.Host(), Selections: []Selection{s}}))
	r.write("aabbc.log", "excluded\n")
	r.write("abcd.log", "one\n")
	r.pass(time.Second)
	r.wants("one")
}

func TestTheThousandAndFirstProblemIsTold(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log"}).start()
	r.broken = func(path string) error {
		if strings.HasPrefix(filepath.Base(path), "bad") {
			return os.ErrPermission
		}
		return nil
	}
	for i := range maxProblems + 10 {
		r.write(fmt.Sprintf("bad%04d.log", i), "x\n")
	}
	r.pass(2 * time.Second)
	require.Len(t, r.tailer.Problems(), maxProblems+1)
	require.Equal(t, "10 more paths cannot be read", r.tailer.Problems()[maxProblems].Error)
	r.write("badder.log", "x\n")
	r.pass(5 * time.Second)
	require.Equal(t, 1, strings.Count(r.log.String(), "badder.log"))
	require.Equal(t, maxProblems+11, strings.Count(r.log.String(), "permission denied"), "each is told once")
	for i := range maxProblems + 10 {
		r.remove(fmt.Sprintf("bad%04d.log", i))
	}
	r.pass(2 * time.Minute)
	require.Less(t, len(r.tailer.Problems()), 2, "those that are gone are forgotten")
	require.Equal(t, r.path("badder.log"), r.tailer.Problems()[0].Path)
}

func TestOwnFilesAreRefused(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "**"})
	r.write("out/app.log", "delivered\n")
	r.write("app.log", "one\n")
	own, err := statPath(r.path("out/app.log"))
	require.NoError(t, err)
	require.NoError(t, os.Link(r.path("out/app.log"), r.path("another name.log")))
	r.cfg.Owned = func(_ string, dev, ino uint64) bool { return own.Inode == find.Inode{Dev: dev, Ino: ino} }
	r.start().pass(2 * time.Second)
	r.wants("one")
	require.Len(t, r.tailer.Problems(), 2)
}

// The cost of a step must not grow with what is stored of files that are not there.
func TestAStepDoesNotGrowWithStoredStreams(t *testing.T) {
	cost := func(stored int) time.Duration {
		r := newRig(t, Selection{Name: "a", Pattern: "*.log"})
		for i := range stored {
			m := streamOf(t, i, r.path(fmt.Sprintf("x%d.log", i)))
			for k, e := range m {
				r.store.entries[k] = e
			}
		}
		r.write("now.log", "one\n")
		r.start().pass(5 * time.Second)
		best := time.Hour
		for range 20 {
			began := time.Now()
			for range 50 {
				r.tailer.step(false)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	few, many := cost(10), cost(20_000)
	require.Less(t, many, 5*few+time.Millisecond)
}
