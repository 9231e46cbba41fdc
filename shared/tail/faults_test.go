// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/tail/find"
)

// after is what must have arrived at least once after kills; order and gaps are checked by offset.
func (r *rig) complete(lines []string) {
	r.Helper()
	have := map[string]int{}
	for _, l := range r.lines() {
		have[l]++
	}
	for _, l := range lines {
		if have[l] == 0 {
			r.Fatalf("%q never arrived; log:\n%s", l, &r.log)
		}
	}
}

func TestSIGKILLAt200RandomPoints(t *testing.T) {
	r := newRig(t, access).start()
	rng := rand.New(rand.NewPCG(1, 2))
	var want []string
	kills, rotations, inFlight := 0, 0, 0
	for i := 0; kills < 200; i++ {
		text, lines := numbered("x", i*10, 10)
		want = append(want, lines...)
		half := rng.IntN(len(text))
		r.write("access.log", text[:half])
		switch rng.IntN(4) {
		case 0:
			r.deaf = true
			before := len(r.arrived)
			r.look()
			inFlight += len(r.arrived) - before
			r.kill()
			r.deaf = false
			kills++
		case 1:
			r.look()
		}
		r.write("access.log", text[half:])
		if rng.IntN(10) == 0 {
			rotations++
			for n := min(rotations, 5); n > 1; n-- {
				r.rename(fmt.Sprintf("access.log.%d", n-1), fmt.Sprintf("access.log.%d", n))
			}
			r.rename("access.log", "access.log.1")
			if r.tailer != nil {
				r.look()
			}
		}
		if r.tailer == nil {
			r.start()
		}
		r.look()
	}
	r.pass(10 * time.Second)
	r.complete(want)
	require.LessOrEqual(t, len(r.arrived), len(want)+inFlight, "only what was not acknowledged arrives twice")
	require.Zero(t, r.tailer.Counts().Lost)
}

func TestKillBetweenTheStepsOfACommit(t *testing.T) {
	// A commit is all or nothing, so there are two moments: before it and behind it, of which the tailer is not told.
	for _, behind := range []bool{false, true} {
		t.Run(fmt.Sprint(behind), func(t *testing.T) {
			r := newRig(t, access).start()
			r.write("access.log", "one\n")
			r.pass(time.Second)
			r.write("access.log", "two\n")
			before := maps.Clone(r.store.entries)
			r.pass(time.Second)
			if !behind {
				r.store.entries = before
			}
			r.kill()
			r.write("access.log", "three\n")
			r.start().pass(time.Second)
			if behind {
				r.wants("one", "two", "three")
			} else {
				r.wants("one", "two", "two", "three")
			}
			require.Len(t, r.streams(), 1)
		})
	}
}

func TestMarksThatCantBeRead(t *testing.T) {
	for _, bad := range [][]byte{nil, {}, {1}, {1, 0, 255}, {9, 9, 9, 9}, []byte(strings.Repeat("\xff", 300))} {
		r := newRigIn(t, t.TempDir(), access).start()
		r.write("access.log", "one\n")
		r.pass(time.Second)
		r.kill()
		for k, e := range r.store.entries {
			e.Mark = bad
			r.store.entries[k] = e
		}
		r.start().pass(time.Second)
		r.wants("one", "one") // in doubt twice, never not at all
		r.kill()
	}
}

func TestForeignEntriesAreLeftAlone(t *testing.T) {
	r := newRig(t, access)
	foreign := checkpoint.Key{Stream: "docker:abc", Declaration: "access", Output: "out"}
	r.store.entries[foreign] = checkpoint.Entry{Mark: []byte("x")}
	r.start()
	r.write("access.log", "one\n")
	r.pass(5 * time.Minute)
	r.wants("one")
	require.Contains(t, r.store.entries, foreign)
}

func TestENOSPCForTheCheckpoint(t *testing.T) {
	r := newRig(t, access).start()
	r.store.err = &os.PathError{Op: "write", Path: "checkpoints.db", Err: unix.ENOSPC}
	r.write("access.log", "one\n")
	r.pass(10 * time.Second)
	r.wants("one")
	require.Equal(t, 1, strings.Count(r.log.String(), "no space left"))
	r.store.err = nil
	r.write("access.log", "two\n")
	r.pass(2 * time.Second)
	r.kill()
	r.start().pass(time.Second)
	r.wants("one", "two")
}

func TestAFileThatCantBeReadForTheCheckpoint(t *testing.T) {
	for name, store := range map[string]error{"read": nil, "load": errors.New("input/output error")} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Selection{Name: "end", Pattern: "*.log", FromEnd: true})
			r.write("x.log", "skipped\n")
			r.start()
			r.store.loadErr = store
			r.scan()
			for _, f := range r.generations() {
				if store == nil {
					f.body = failing{f.body}
				}
			}
			r.settle()
			require.Empty(t, r.store.entries)
			r.store.loadErr = nil
			for _, f := range r.generations() {
				if store == nil {
					f.body = f.body.(failing).content
				}
			}
			r.pass(time.Second)
			require.Len(t, r.store.entries, 1, "it is recorded once it can be")
			r.kill()
			r.start().pass(time.Second)
			r.wants() // what was skipped stays so
		})
	}
}

func TestADeclarationThatComesWhileTheFileIsClosed(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log"}).start()
	r.write("x.log", "one\n")
	r.pass(2 * time.Minute)
	r.closeIdle()
	require.Zero(t, r.tailer.Counts().Open)
	r.set(r.selections[0], Selection{Name: "b", Pattern: r.path("*.log"), Outputs: []string{"out"}, FromEnd: true})
	r.pass(3 * time.Second)
	require.Len(t, r.store.entries, 2)
	r.kill()
	r.selections = append(r.selections, Selection{Name: "b", Pattern: r.path("*.log"), Outputs: []string{"out"}, FromEnd: true})
	r.start().pass(time.Second)
	r.wants("one")
}

func TestEMFILE(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log"})
	r.cfg.MaxOpen = 4
	open := 0
	r.broken = func(string) error {
		if open++; open%2 == 0 {
			return &os.PathError{Op: "open", Path: "x", Err: unix.EMFILE}
		}
		return nil
	}
	r.start()
	var want []string
	for i := range 20 {
		text, lines := numbered(fmt.Sprint(i), 0, 10)
		r.write(fmt.Sprintf("%d.log", i), text)
		want = append(want, lines...)
	}
	r.pass(20 * time.Second)
	r.wants(want...)
	require.LessOrEqual(t, r.tailer.Counts().Open, 4)
	for i := range 20 {
		text, lines := numbered(fmt.Sprint(i), 10, 10)
		r.write(fmt.Sprintf("%d.log", i), text)
		want = append(want, lines...)
	}
	r.pass(20 * time.Second)
	r.wants(want...)
	require.Len(t, r.streams(), 20)
}

func TestEACCESThenAllowed(t *testing.T) {
	r := newRig(t, access)
	denied := true
	r.broken = func(string) error {
		if denied {
			return &os.PathError{Op: "open", Path: "x", Err: unix.EACCES}
		}
		return nil
	}
	r.start()
	r.write("access.log", "one\n")
	r.pass(10 * time.Second)
	r.wants()
	require.Equal(t, 1, strings.Count(r.log.String(), "permission denied"))
	denied = false
	r.pass(2 * time.Second)
	r.wants("one")
	problems := r.tailer.Problems()
	require.Empty(t, problems)
}

func TestClockSetAnHourBackAndForth(t *testing.T) {
	r := newRig(t, all).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.now = r.now.Add(-time.Hour)
	r.write("access.log", "two\n")
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.write("access.log", "three\n")
	r.pass(time.Second)
	r.kill()
	r.start().pass(time.Second)
	r.now = r.now.Add(2 * time.Hour)
	r.write("access.log", "four\n")
	r.pass(10 * time.Second)
	r.now = r.now.Add(-time.Hour)
	r.write("access.log", "five\n")
	r.pass(time.Second)
	r.wants("one", "two", "three", "four", "five")
	require.Len(t, r.streams(), 2)
}

func TestGenerationsNeverRepeat(t *testing.T) {
	now := time.Now()
	a := newKey("", find.Inode{Dev: 1, Ino: 2}, now)
	b := newKey("", find.Inode{Dev: 1, Ino: 2}, now)
	c := newKey("", find.Inode{Dev: 1, Ino: 2}, now.Add(-time.Hour))
	require.NotEqual(t, a, b)
	require.NotEqual(t, b, c)
	require.Less(t, a, b)
	require.Less(t, b, c)
}

func TestTenThousandFilesWith50Busy(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log"})
	r.cfg.MaxOpen = 1024
	r.start()
	var want []string
	for i := range 10000 {
		l := fmt.Sprintf("file %05d", i)
		r.write(fmt.Sprintf("%05d.log", i), l+"\n")
		want = append(want, l)
	}
	r.pass(15 * time.Second)
	r.wants(want...)
	r.now = r.now.Add(2 * time.Minute)
	r.pass(time.Second)
	require.Empty(t, r.feeds, "the pipeline is rid of quiet files")
	for round := range 5 {
		for i := range 50 {
			l := fmt.Sprintf("busy %05d %d", i*199, round)
			r.write(fmt.Sprintf("%05d.log", i*199), l+"\n")
			want = append(want, l)
		}
		r.pass(2 * time.Second)
	}
	r.wants(want...)
	require.LessOrEqual(t, r.tailer.Counts().Open, 1024)
	require.Len(t, r.feeds, 50)
	require.Len(t, r.streams(), 10000)
}

func TestIgnoreOlderAndReadFrom(t *testing.T) {
	r := newRig(t, Selection{Name: "old", Pattern: "old*.log", IgnoreOlder: time.Hour}, Selection{Name: "end", Pattern: "end*.log", FromEnd: true})
	long := r.now.Add(-2 * time.Hour)
	r.write("old1.log", "skipped\n")
	require.NoError(t, os.Chtimes(r.path("old1.log"), long, long))
	r.write("old2.log", "young\n")
	r.write("end1.log", "skipped\nunfini")
	r.start().pass(2 * time.Second)
	r.write("old1.log", "revived\n")
	r.write("end1.log", "shed\n")
	r.write("end2.log", "new\n")
	r.pass(2 * time.Second)
	r.wants("young", "revived", "unfinished", "new")
	r.kill()
	r.write("end3.log", "written while down\n")
	r.start().pass(2 * time.Second)
	r.wants("young", "revived", "unfinished", "new", "written while down")
}

func TestDeclarationsChange(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log", Version: "1"}).start()
	r.write("x.log", "one\n")
	r.pass(time.Second)
	one := r.selections
	both := append(append([]Selection{}, one...), Selection{Name: "b", Pattern: r.path("x.log"), Outputs: []string{"out", "second"}})
	r.set(both...)
	r.write("x.log", "two\n")
	r.pass(2 * time.Second)
	r.wants("one", "two", "one", "two", "one", "two")
	r.arrived = nil
	r.set(both[1])
	r.write("x.log", "three\n")
	r.pass(2 * time.Second)
	r.wants("three", "three")
	both[0].Version = "2"
	r.set(both...)
	r.pass(2 * time.Second)
	r.wants("three", "three", "three")
	require.Len(t, r.streams(), 1)
	both[0].Version = "3"
	r.set(both...)
	r.write("x.log", "four\n")
	r.pass(3 * time.Second)
	r.wants("three", "three", "three", "four", "four", "four")
}

func TestDirectoryComesLater(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "sub/*.log"}).start()
	r.pass(5 * time.Second)
	require.Equal(t, 1, strings.Count(r.log.String(), "no such file"))
	r.write("sub/x.log", "one\n")
	r.pass(time.Second)
	r.wants("one")
	require.NoError(t, os.RemoveAll(r.path("sub")))
	r.pass(time.Second)
	r.write("sub/x.log", "two\n")
	r.pass(time.Second)
	r.wants("one", "two")
}

func TestReadErrorsPass(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	for _, f := range r.generations() {
		f.body = failing{f.body}
	}
	r.write("access.log", "two\n")
	r.pass(3 * time.Second)
	r.wants("one")
	for _, f := range r.generations() {
		f.body = f.body.(failing).content
	}
	r.pass(3 * time.Second)
	r.wants("one", "two")
}

// failing is a disk that can't be read.
type failing struct{ content }

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }
