// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// put follows what a container writes to /logs, which is the directory of its name here.
func (r *rig) put(id string, selections ...Selection) {
	r.Helper()
	root := find.Container("", nil, map[string]string{"/logs": r.path(id)})
	for i := range selections {
		selections[i].Outputs = []string{"out"}
	}
	require.Empty(r, r.tailer.Put(Origin{ID: id, Root: root, Selections: selections}))
}

var logs = Selection{Name: "app", Pattern: "/logs/*.log"}

// of are the texts that have arrived of an origin.
func (r *rig) of(id string) (all []string) {
	for _, l := range r.arrived {
		if got, _ := originOf(l.stream); got == id {
			all = append(all, l.text)
		}
	}
	return all
}

func TestRecordsBearThePathThatTheWriterKnows(t *testing.T) {
	r := newRig(t).start()
	r.write("web/app.log", "one\n")
	r.put("web", logs)
	r.pass(time.Second)
	r.rename("web/app.log", "web/app.log.1")
	r.write("web/app.log", "two\n")
	r.pass(time.Second)
	r.wants("one", "two")
	for _, l := range r.arrived {
		require.Equal(t, "/logs/app.log", l.path)
	}
}

// Containers of one image declare the same, and may share a volume: each is a writer of its own.
func TestOriginsThatDeclareTheSame(t *testing.T) {
	r := newRig(t).start()
	r.write("a/app.log", "a\n")
	r.write("b/app.log", "b\n")
	require.NoError(t, os.Link(r.path("a/app.log"), r.path("b/shared.log")))
	r.put("a", logs)
	r.put("b", logs)
	r.pass(2 * time.Second)
	require.ElementsMatch(t, []string{"a"}, r.of("a"))
	require.ElementsMatch(t, []string{"a", "b"}, r.of("b"))
	require.Len(t, r.streams(), 3)
	r.kill()
	r.start()
	r.put("a", logs)
	r.put("b", logs)
	r.pass(2 * time.Second)
	require.Len(t, r.arrived, 3)
}

func TestAChangeOfOneOriginTouchesNoOther(t *testing.T) {
	r := newRig(t).start()
	for _, id := range []string{"a", "b"} {
		r.write(id+"/app.log", "one\n")
		r.put(id, logs)
	}
	r.pass(time.Second)
	before := append([]*feed{}, r.feeds...)
	scans := r.tailer.origins["b"].scans
	for range 5 {
		r.tailer.Withdraw("a")
		r.tailer.step(false)
		r.put("a", logs)
		r.tailer.step(false)
	}
	require.Equal(t, scans, r.tailer.origins["b"].scans, "it is not searched for that")
	for _, f := range before {
		if id, _ := originOf(f.key.Stream); id == "b" {
			require.False(t, f.detached)
		}
	}
	r.write("a/app.log", "two\n")
	r.write("b/app.log", "two\n")
	r.pass(time.Second)
	require.Equal(t, []string{"one", "two"}, r.of("a"))
	require.Equal(t, []string{"one", "two"}, r.of("b"))
}

func TestAnOriginEnds(t *testing.T) {
	for name, gone := range map[string]bool{"its files stay": false, "its files are removed": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).start()
			r.put("a", logs)
			r.write("a/app.log", "one\n")
			r.pass(2 * time.Minute)
			r.closeIdle()
			r.blocked = true
			r.write("a/app.log", "tw")
			r.pass(time.Second)
			r.write("a/app.log", "o")
			r.write("a/late.log", "never seen before")
			r.tailer.End("a")
			r.pass(time.Second)
			require.NotEmpty(t, r.tailer.origins)
			if gone {
				require.NoError(t, os.RemoveAll(r.path("a")))
			}
			r.pass(10 * time.Second)
			r.blocked = false
			r.pass(10 * time.Second)
			require.Equal(t, []string{"one", "never seen before", "two"}, sorted(r.of("a")))
			require.Empty(t, r.gaps)
			require.Empty(t, r.feeds)
			require.Zero(t, r.tailer.Counts().Open)
			r.pass(time.Minute)
			require.Empty(t, r.tailer.origins)
			require.Equal(t, gone, len(r.store.entries) == 0, "what is gone is forgotten, what may come back is not")
			r.pass(2 * time.Minute)
			r.now = r.now.Add(keepUnused)
			r.tailer.Withdraw("a") // makes the tailer search for unused positions
			r.pass(time.Hour)
			require.Empty(t, r.store.entries)
		})
	}
}

func sorted(texts []string) []string {
	long := func(s string) bool { return len(s) > 5 }
	var a, b []string
	for i, s := range texts {
		if i == 0 || long(s) {
			a = append(a, s)
		} else {
			b = append(b, s)
		}
	}
	return append(a, b...)
}

// A container that is restarted has its volumes again: what is on them is not new.
func TestAnOriginComesBack(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 2 * time.Minute, 24 * time.Hour} {
		for _, restart := range []bool{false, true} {
			t.Run(after.String(), func(t *testing.T) {
				r := newRig(t).start()
				r.put("a", logs)
				r.write("a/app.log", "one\ntw")
				r.write("a/old.log", "old\n")
				r.pass(5 * time.Second)
				r.rename("a/old.log", "a/old.log.1")
				r.pass(5 * time.Second)
				r.tailer.End("a")
				if after > 0 {
					r.pass(min(after, 5*time.Minute))
					r.now = r.now.Add(max(0, after-5*time.Minute))
				}
				if restart {
					r.kill()
					r.start()
				}
				r.put("a", logs)
				r.write("a/app.log", "o\nthree\n")
				r.write("a/old.log.1", "late\n")
				r.pass(10 * time.Second)
				got := r.of("a")
				for _, l := range []string{"one", "old", "three", "late"} {
					require.Contains(t, got, l)
				}
				require.LessOrEqual(t, len(got), 6, "the unfinished line may come in two pieces")
				require.Len(t, r.streams(), 2)
				require.Empty(t, r.gaps)
			})
		}
	}
}

func TestAnOriginsRootIsRemoved(t *testing.T) {
	r := newRig(t).start()
	r.put("a", logs)
	r.put("b", logs)
	r.write("b/app.log", "b\n")
	r.write("a/app.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	r.write("a/app.log", "two\n")
	r.pass(time.Second)
	require.NoError(t, os.RemoveAll(r.path("a")))
	r.pass(time.Minute)
	r.blocked = false
	r.pass(time.Minute)
	require.Equal(t, []string{"one", "two"}, r.of("a"))
	require.Equal(t, []string{"b"}, r.of("b"))
	require.Contains(t, r.tailer.Problems(), Problem{"a", "/logs", "open " + r.path("a") + ": no such file or directory"})
	r.tailer.End("a")
	r.pass(2 * time.Minute)
	require.Empty(t, r.tailer.Problems())
	require.Len(t, r.tailer.origins, 1)
	for k := range r.store.entries {
		id, _ := originOf(k.Stream)
		require.Equal(t, "b", id)
	}
}

func TestAnOriginIsWithdrawn(t *testing.T) {
	r := newRig(t).start()
	r.put("a", logs)
	r.write("a/app.log", "one\ntw")
	r.pass(time.Second)
	r.tailer.Withdraw("a")
	r.pass(5 * time.Second)
	require.Empty(t, r.tailer.origins)
	require.Empty(t, r.feeds)
	r.write("a/app.log", "o\n")
	r.pass(time.Minute)
	require.Equal(t, []string{"one"}, r.of("a"))
	r.now = r.now.Add(5 * 24 * time.Hour)
	r.put("a", logs)
	r.pass(time.Second)
	require.Equal(t, []string{"one", "two"}, r.of("a"))
}

func TestAnOriginThatEndedLosesItsFiles(t *testing.T) {
	r := newRig(t).start()
	r.put("a", logs)
	r.write("a/app.log", "one\n")
	r.pass(2 * time.Minute)
	r.blocked = true
	r.write("a/app.log", "two\n")
	r.pass(time.Second)
	r.tailer.End("a")
	r.pass(time.Minute)
	r.closeIdle()
	require.Zero(t, r.tailer.Counts().Open)
	require.NoError(t, os.RemoveAll(r.path("a")))
	r.pass(time.Second)
	r.blocked = false
	r.pass(3 * time.Minute)
	require.Len(t, r.gaps, 1)
	require.Empty(t, r.tailer.origins)
	require.Empty(t, r.store.entries)
}

func TestAnOriginThatEndedHasItsFilesRenamed(t *testing.T) {
	r := newRig(t).start()
	r.put("a", logs)
	r.write("a/app.log", "one\n")
	r.pass(2 * time.Minute)
	r.blocked = true
	r.write("a/app.log", "two\n")
	r.pass(time.Second)
	r.tailer.End("a")
	r.pass(time.Minute)
	r.closeIdle()
	r.rename("a/app.log", "a/app.log.1")
	r.pass(time.Minute)
	r.blocked = false
	r.pass(time.Minute)
	r.wants("one", "two")
	require.Empty(t, r.gaps)
}

// Whoever renames files all the time in a large directory must not keep this process searching it.
func TestHintsOfALargeOriginAreFollowedLater(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log"})
	for i := range 200 {
		r.write(time.Duration(i).String()+".log", "x\n")
	}
	r.start().pass(2 * time.Second)
	o := r.tailer.origins[""]
	before := o.scans
	for range 100 {
		r.now = r.now.Add(time.Millisecond)
		r.tailer.hint("")
		r.tailer.step(false)
	}
	require.Less(t, o.scans-before, 10)
	require.NotEqual(t, before, o.scans)
	r.put("b", logs)
	r.tailer.step(false)
	require.EqualValues(t, 1, r.tailer.origins["b"].scans, "others are scanned at once")
}

func TestPutIsBounded(t *testing.T) {
	r := newRig(t).start()
	many := make([]Selection, MaxSelections+1)
	for i := range many {
		many[i] = Selection{Name: string(rune('a'+i%26)) + time.Duration(i).String(), Pattern: "/logs/*"}
	}
	errs := r.tailer.Put(Origin{ID: "a", Root: find.Host(), Selections: many})
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "256")
	errs = r.tailer.Put(Origin{ID: string(make([]byte, 1000)), Root: find.Host(), Selections: many[:1]})
	require.Len(t, errs, 1)
	errs = r.tailer.Put(Origin{ID: "b", Root: find.Host(), Selections: []Selection{many[0], many[0]}})
	require.Len(t, errs, 1)
}

func TestKeysOfOrigins(t *testing.T) {
	for _, id := range []string{"", "a", "pod/container", "x]:y", "[", ":"} {
		got, ok := originOf(streamKey(id, find.Inode{Dev: 1, Ino: 2}, 3))
		require.True(t, ok)
		require.Equal(t, id, got)
	}
	require.Equal(t, "file:1:2:3", streamKey("", find.Inode{Dev: 1, Ino: 2}, 3), "as earlier versions named it")
	for _, key := range []string{"docker:abc", "fil", "file", "file[a", "filex:1"} {
		_, ok := originOf(key)
		require.False(t, ok, key)
	}
}

// A writer that is stopped, and may be started again, leaves a last line without an end. It is delivered when it was quiet,
// and what follows after a start is a record of its own.
func TestTheLastLineOfAStoppedWriter(t *testing.T) {
	r := newRig(t)
	put := func(stopped bool) {
		require.Empty(t, r.tailer.Put(Origin{Root: find.Host(), Selections: []Selection{{Name: "a", Pattern: r.dir + "/*.log", Outputs: []string{"out"}}}}))
		r.tailer.Stopped("", stopped)
	}
	r.start()
	put(false)
	r.write("a.log", "one\ntw")
	r.pass(time.Minute)
	r.wants("one") // it may still be written
	put(true)
	r.pass(2 * time.Second)
	put(false) // started again at once: nothing has come between
	r.write("a.log", "o\nthr")
	r.pass(20 * time.Second)
	r.wants("one", "two")
	put(true)
	r.pass(quietFor + time.Second)
	r.wants("one", "two", "thr")
	r.write("b.log", "of another one\nlate") // into the same volume
	r.pass(3 * quietFor)
	r.wants("one", "two", "thr", "of another one", "late")
	r.kill()
	r.start()
	put(true)
	r.pass(2 * quietFor)
	put(false)
	r.write("a.log", "ee\n")
	r.pass(2 * time.Second)
	r.wants("one", "two", "thr", "of another one", "late", "ee")
	require.Empty(t, r.gaps)
}

// Two thousand containers that came and went leave nothing in the store, or in memory: log-pilot's registry grew for ever (its
// reports 245 and 253).
func TestOriginsThatCameAndWentLeaveNothing(t *testing.T) {
	const together = 100
	r := newRig(t).start()
	before := len(r.store.entries)
	for batch := range 20 {
		for n := range together {
			id := fmt.Sprint("c", batch*together+n)
			r.put(id, logs)
			r.write(id+"/app.log", id+"\n")
		}
		r.pass(time.Second)
		for n := range together {
			id := fmt.Sprint("c", batch*together+n)
			require.NoError(t, os.RemoveAll(r.path(id)))
			r.tailer.End(id)
		}
		r.pass(time.Second)
		r.now = r.now.Add(2 * time.Minute)
		r.look()
		require.LessOrEqual(t, len(r.tailer.origins), together)
	}
	r.pass(3 * time.Second)
	require.Len(t, r.arrived, 20*together)
	require.Len(t, r.store.entries, before)
	require.Empty(t, r.tailer.origins)
	require.Empty(t, *r.tailer.list.Load())
	require.Zero(t, r.tailer.Counts().Files)
}
