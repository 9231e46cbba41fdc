// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// watchedRig is a rig with hints. What it is told of is moved by the test.
type watchedRig struct {
	*rig
	told chan string
}

// newWatchedRig makes its files on a file system that reports all changes on every machine: /dev/shm is a tmpfs.
func newWatchedRig(t *testing.T, selections ...Selection) *watchedRig {
	dir, err := os.MkdirTemp("/dev/shm", "remora")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	r := &watchedRig{newRigIn(t, dir, selections...), make(chan string, 100)}
	t.Cleanup(r.kill)
	r.start()
	r.tailer.hints = find.NewHints(func(owner string) { r.told <- owner }, slog.New(slog.DiscardHandler))
	t.Cleanup(r.tailer.hints.Close)
	return r
}

// origin is the one that is followed.
func (r *watchedRig) origin() *origin { return r.tailer.origins[""] }

// turn makes as many steps as a quiet tailer does in d, none of which is asked to do everything.
func (r *watchedRig) turn(d time.Duration) {
	r.Helper()
	for ; d > 0; d -= time.Second {
		r.now = r.now.Add(time.Second)
		r.tailer.step(false)
		r.pump()
	}
}

// hear waits for a hint, and steps.
func (r *watchedRig) hear() {
	r.Helper()
	r.tailer.hint(<-r.told)
	r.now = r.now.Add(wakePause)
	r.tailer.step(false)
	r.pump()
}

// scansIn is how many scans are made in d.
func (r *watchedRig) scansIn(d time.Duration) int {
	r.Helper()
	before := r.origin().scans
	r.turn(d)
	return r.origin().scans - before
}

func TestWatchedFilesAreSearchedForSeldom(t *testing.T) {
	r := newWatchedRig(t, Selection{Name: "a", Pattern: "logs/**/*.log"})
	r.write("logs/sub/a.log", "one\n")
	r.turn(5 * time.Second)
	require.True(t, r.origin().watched)
	require.InDelta(t, 6, r.scansIn(time.Minute), 1)
	r.write("logs/sub/a.log", "two\n") // what is written is observed, not searched for
	r.turn(time.Second)
	r.wants("one", "two")
	r.write("logs/sub/b.log", "three\n")
	r.hear()
	r.wants("one", "two", "three")
	r.write("logs/new/deep/c.log", "four\n") // its directories are watched once they were found
	r.hear()
	r.turn(3 * time.Second)
	r.wants("one", "two", "three", "four")
	require.LessOrEqual(t, r.scansIn(time.Minute), 7)
}

func TestARotationIsSeenByAHint(t *testing.T) {
	r := newWatchedRig(t, Selection{Name: "a", Pattern: "logs/a.log"})
	r.write("logs/a.log", "one\n")
	r.turn(5 * time.Second)
	require.True(t, r.origin().watched)
	r.write("logs/a.log", "two\n")
	r.rename("logs/a.log", "logs/a.log.1")
	r.write("logs/a.log.1", "late\n")
	r.write("logs/a.log", "three\n")
	r.hear()
	r.turn(time.Second)
	r.wants("one", "two", "late", "three")
	r.copy("logs/a.log", "logs/a.log.0") // and a copy before the truncation
	r.truncate("logs/a.log")
	r.write("logs/a.log", "four\n")
	r.hear()
	r.turn(2 * time.Second)
	r.wants("one", "two", "late", "three", "four")
}

// Of these no event tells, so each scan may find something.
func TestWhatIsNotWatchedIsSearchedForEachSecond(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(r *watchedRig)
	}{
		{"the directory is missing", func(r *watchedRig) { require.NoError(r, os.RemoveAll(r.path("logs"))) }},
		{"a file is a link", func(r *watchedRig) {
			r.write("elsewhere.log", "linked\n")
			require.NoError(r, os.Symlink("../elsewhere.log", r.path("logs/b.log")))
		}},
		{"a link leads nowhere yet", func(r *watchedRig) { require.NoError(r, os.Symlink("nowhere", r.path("logs/b.log"))) }},
		{"a directory is a link", func(r *watchedRig) {
			require.NoError(r, os.Mkdir(r.path("logs/sub"), 0o755))
			require.NoError(r, os.Symlink("sub", r.path("logs/link")))
		}},
		{"events are lost", func(r *watchedRig) { r.tailer.hints.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newWatchedRig(t, Selection{Name: "a", Pattern: "logs/*.log"}, Selection{Name: "b", Pattern: "logs/*/*.log"})
			r.write("logs/a.log", "one\n")
			c.before(r)
			r.turn(3 * time.Second)
			if c.name == "events are lost" {
				r.turn(watchedScan)
			}
			require.False(t, r.origin().watched)
			require.Equal(t, 10, r.scansIn(10*time.Second))
		})
	}
}

// A directory on the way to the base is renamed, of which the base's own events do not tell.
func TestABaseThatIsReplacedIsSearchedAtOnce(t *testing.T) {
	r := newWatchedRig(t, Selection{Name: "a", Pattern: "app/logs/*.log"})
	r.write("app/logs/a.log", "one\n")
	r.turn(5 * time.Second)
	require.True(t, r.origin().watched)
	r.rename("app", "old")
	r.write("app/logs/a.log", "two\n")
	r.turn(time.Second)
	r.wants("one", "two")
}

// Of an overlay only the upper directory's events tell of new files: a directory that is the image's alone gets another one
// above it when the container writes there.
func TestALowerDirectoryIsNotWatched(t *testing.T) {
	r := newWatchedRig(t)
	upper, lower := r.path("upper"), r.path("lower")
	r.write("lower/var/log/image.log", "of the image\n")
	r.write("upper/var/other", "")
	put := func() {
		require.Empty(t, r.tailer.Put(Origin{Root: find.Container(upper, []string{lower}, nil),
			Selections: []Selection{{Name: "a", Pattern: "/var/log/*.log", Outputs: []string{"out"}}}}))
	}
	put()
	r.turn(3 * time.Second)
	require.False(t, r.origin().watched)
	r.write("upper/var/log/new.log", "new\n")
	r.turn(3 * time.Second)
	r.wants("of the image", "new")
	require.True(t, r.origin().watched)
	require.NoError(t, os.Rename(filepath.Join(upper, "var/log"), filepath.Join(upper, "var/gone")))
	r.write("upper/var/log/newer.log", "newer\n")
	r.turn(time.Second)
	r.wants("of the image", "new", "newer")
}

// Files that are seen at once begin in the order in which they were written, whatever their names are.
func TestRotatedFilesBeginBeforeTheirSuccessors(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "app.log*"})
	for i, name := range []string{"app.log.2", "app.log.1", "app.log"} {
		r.write(name, name+"\n")
		at := time.Now().Add(time.Duration(i-3) * time.Hour)
		require.NoError(t, os.Chtimes(r.path(name), at, at))
	}
	r.blocked = true
	r.start().look()
	orders := map[string]int64{}
	for _, f := range r.feeds {
		orders[filepath.Base(f.path)] = f.stream.(*reader).Order()
	}
	require.Len(t, orders, 3)
	require.Less(t, orders["app.log.2"], orders["app.log.1"])
	require.Less(t, orders["app.log.1"], orders["app.log"])
}

// The directories of a container that is removed are gone before anybody tells that it is: that is no reason for a warning.
// One that stays missing is.
func TestAPathThatIsMissingForAMomentIsNotLogged(t *testing.T) {
	p := problems{log: slog.New(slog.DiscardHandler)}
	var log strings.Builder
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	about := subject{"c-1", "/var/lib/c-1"}
	now := time.Now()
	p.tick(now)
	p.report(about, os.ErrNotExist)
	require.Len(t, p.all(), 1, "the status tells it at once")
	p.report(about, nil)
	require.Empty(t, log.String())

	for range 7 {
		now = now.Add(time.Second)
		p.tick(now)
		p.report(about, os.ErrNotExist)
	}
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	p.report(about, nil)
	require.Contains(t, log.String(), "path readable again")
}
