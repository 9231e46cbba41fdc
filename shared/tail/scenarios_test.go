// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var access = Selection{Name: "access", Pattern: "access.log"}
var all = Selection{Name: "access", Pattern: "access.log*"}

func TestReadsAndFollows(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.wants("one")
	r.write("access.log", "two\r\nthr")
	r.pass(time.Second)
	r.wants("one", "two")
	r.write("access.log", "ee\n")
	r.pass(time.Second)
	r.wants("one", "two", "three")
	require.Len(t, r.streams(), 1)
	r.kill()
	r.write("access.log", "four\n")
	r.start().pass(time.Second)
	r.wants("one", "two", "three", "four")
	require.Len(t, r.streams(), 1)
}

func TestRotateByRename(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\ntw")
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.write("access.log.1", "o\n")
	r.write("access.log", "three\n")
	r.pass(time.Second)
	r.wants("one", "two", "three")
	require.Len(t, r.streams(), 2)
	for _, l := range r.arrived {
		require.Equal(t, r.path("access.log"), l.path)
	}
}

func TestAppendToTheOldFile30SecondsAfterRename(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.write("access.log", "two\n")
	r.pass(30 * time.Second)
	r.write("access.log.1", "late\n")
	r.pass(2 * time.Second)
	r.wants("one", "two", "late")
	r.rename("access.log.1", "access.log.2")
	r.pass(30 * time.Second)
	r.write("access.log.2", "later\n")
	r.pass(2 * time.Second)
	r.wants("one", "two", "late", "later")
	r.kill()
	r.write("access.log.2", "latest\n")
	r.start().pass(time.Second)
	r.wants("one", "two", "late", "later", "latest")
	require.Len(t, r.streams(), 2)
}

func TestCopytruncateCaughtUp(t *testing.T) {
	for name, w := range map[string]Selection{"one file": access, "copies match": all} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, w).start()
			r.write("access.log", "one\ntwo\n")
			r.pass(time.Second)
			r.copy("access.log", "access.log.1")
			r.truncate("access.log")
			r.write("access.log", "three\n")
			r.pass(10 * time.Second)
			r.wants("one", "two", "three")
			require.Empty(t, r.gaps)
			require.Zero(t, r.tailer.Counts().Lost)
			r.kill()
			r.start().pass(10 * time.Second)
			r.wants("one", "two", "three")
		})
	}
}

// A copy that is being made when the process starts is no new file, whether its original was known before or not.
func TestCopyIsBeingMadeAtTheStart(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, size := range []int{0, len("one\nt"), len("one\ntwo\n")} {
			t.Run(fmt.Sprint(known, size), func(t *testing.T) {
				r := newRig(t, all)
				r.write("access.log", "one\ntwo\n")
				if known {
					r.start().pass(time.Second)
					r.kill()
				}
				r.write("access.log.1", "one\ntwo\n"[:size])
				r.start().look()
				r.write("access.log.1", "one\ntwo\n"[size:])
				r.truncate("access.log")
				r.write("access.log", "three\n")
				r.pass(10 * time.Second)
				r.wants("one", "two", "three")
			})
		}
	}
}

// A file that copies are compared with is not asked for when it is open: an origin in which nothing changes would be looked at
// in full in each step.
func TestAnOriginalIsNotAskedForWhenItIsOpen(t *testing.T) {
	r := newRig(t, all).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.copy("access.log", "access.log.1")
	r.look()
	r.truncate("access.log")
	r.pass(10 * time.Second)
	r.wants("one")
	for _, g := range r.generations() {
		require.False(t, g.wanted.Load(), g.name())
	}
}

// Bytes that were acknowledged after the last commit are not taken for those of a shorter file that begins alike.
func TestTruncatedWhileDownAndBeginsAlike(t *testing.T) {
	r := newRig(t, access)
	r.write("access.log", "banner\n")
	r.start().look()
	r.uncommitted = true
	r.write("access.log", "one\ntwo\n")
	r.pass(time.Second)
	r.kill()
	r.uncommitted = false
	r.truncate("access.log")
	r.write("access.log", "banner\nred\n")
	r.start().pass(time.Second)
	r.write("access.log", "green\n")
	r.pass(10 * time.Second)
	r.wants("banner", "one", "two", "banner", "red", "green")
}

func TestCopiedAndRemovedWhileItsHandleWasClosed(t *testing.T) {
	for name, w := range map[string]Selection{"one file": access, "copies match": all} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, w).start()
			r.write("access.log", "one\n")
			r.pass(time.Minute)
			r.closeIdle()
			require.Zero(t, r.tailer.Counts().Open)
			r.write("access.log", "two\n")
			r.copy("access.log", "access.log.1")
			r.remove("access.log")
			r.pass(10 * time.Second)
			r.wants("one", "two")
			require.Zero(t, r.tailer.Counts().Lost)
			require.Len(t, r.streams(), 1)
		})
	}
}

func TestCopytruncateWithUnreadBytesInACopyThatMatches(t *testing.T) {
	for name, w := range map[string]Selection{"one file": access, "copies match": all} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, w).start()
			r.write("access.log", "one\n")
			r.pass(time.Second)
			r.write("access.log", "two\n")
			r.copy("access.log", "access.log.1")
			r.truncate("access.log")
			r.write("access.log", "three\n")
			r.pass(10 * time.Second)
			r.wants("one", "two", "three")
			require.Empty(t, r.gaps)
			r.kill()
			r.start().pass(10 * time.Second)
			r.wants("one", "two", "three")
		})
	}
}

func TestRotateWhileDown(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.kill()
	r.write("access.log", "two\n")
	r.rename("access.log", "access.log.1")
	r.write("access.log", "three\n")
	r.start().pass(time.Second)
	r.wants("one", "two", "three")
	require.Len(t, r.streams(), 2)
	r.kill()
	require.NoError(t, os.Mkdir(r.path("old"), 0o755))
	r.write("access.log", "four\n")
	r.rename("access.log", "old/access.log-20260101")
	r.write("access.log", "five\n")
	r.start().pass(time.Second)
	r.wants("one", "two", "three", "four", "five")
}

func TestRenameUnderLoad(t *testing.T) {
	r := newRig(t, access).start()
	var want []string
	for i := range 20 {
		text, lines := numbered("a", i*100, 100)
		r.write("access.log", text[:len(text)/2])
		if i%3 == 0 {
			r.look()
		}
		rotated := fmt.Sprintf("access.log.%d", i)
		r.rename("access.log", rotated)
		r.write(rotated, text[len(text)/2:])
		if i%2 == 0 {
			r.look()
		}
		want = append(want, lines...)
		r.pass(time.Second / 2)
	}
	r.wants(want...)
}

func TestThreeRotationsWhileTheBackendIsBlocked(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	for _, text := range []string{"two\n", "three\n", "four\n"} {
		r.write("access.log", text)
		r.pass(time.Second)
		for _, n := range []string{"2", "1"} {
			if _, err := os.Stat(r.path("access.log." + n)); err == nil {
				r.rename("access.log."+n, "access.log."+string(n[0]+1))
			}
		}
		r.rename("access.log", "access.log.1")
		r.pass(time.Minute)
	}
	r.remove("access.log.3")
	r.write("access.log", "five\n")
	r.pass(time.Minute)
	r.wants("one")
	r.blocked = false
	r.pass(time.Second)
	r.wants("one", "two", "three", "four", "five")
}

func TestSeveralRotationsBetweenTwoLooks(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log.1", "of old\n")
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.write("access.log", "two\n")
	r.rename("access.log.1", "access.log.4")
	r.rename("access.log", "access.log.3")
	r.write("access.log.2", "three\n")
	r.write("access.log.1", "four\n")
	r.write("access.log", "five\n")
	r.pass(time.Second)
	r.wants("one", "two", "three", "four", "five")
	r.kill()
	r.rename("access.log.4", "access.log.6")
	r.rename("access.log.3", "access.log.5")
	r.rename("access.log.2", "access.log.4")
	r.rename("access.log.1", "access.log.3")
	r.rename("access.log", "access.log.2")
	r.write("access.log.1", "six\n")
	r.write("access.log", "seven\n")
	r.start().pass(time.Second)
	r.wants("one", "two", "three", "four", "five", "six", "seven")
}

func TestRenameAgain(t *testing.T) {
	r := newRig(t, all).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.write("access.log", "two\n")
	r.pass(time.Second)
	r.rename("access.log.1", "access.log.2")
	r.rename("access.log", "access.log.1")
	r.write("access.log.2", "three\n")
	r.write("access.log", "four\n")
	r.pass(time.Second)
	r.wants("one", "two", "three", "four")
	require.Len(t, r.streams(), 3)
}

func TestTruncateAndRegrowPastTheOffset(t *testing.T) {
	for _, down := range []bool{false, true} {
		name := map[bool]string{false: "between two looks", true: "while down"}[down]
		t.Run(name, func(t *testing.T) {
			r := newRig(t, access).start()
			text, before := numbered("before", 0, 100)
			r.write("access.log", text)
			r.pass(time.Second)
			if down {
				r.kill()
			}
			r.truncate("access.log")
			text, after := numbered("after", 0, 500)
			r.write("access.log", text)
			if down {
				r.start()
			}
			r.pass(10 * time.Second)
			r.wants(append(before, after...)...)
			require.Len(t, r.streams(), 2)
		})
	}
}

func TestTruncateWithUnreadBytesIsMeasured(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	r.write("access.log", "two\nthree\n")
	r.pass(time.Second)
	r.truncate("access.log")
	r.write("access.log", "four\n")
	r.pass(time.Second)
	r.blocked = false
	r.pass(10 * time.Second)
	r.wants("one", "four")
	require.Len(t, r.gaps, 1)
	require.EqualValues(t, 10, r.gaps[0].Bytes)
	require.EqualValues(t, 10, r.tailer.Counts().Lost)
	require.Contains(t, r.log.String(), "bytes=10")
}

func TestEmptyWhenFoundAndNothingAcknowledged(t *testing.T) {
	begun := func(t *testing.T) *rig {
		r := newRig(t, access)
		r.write("access.log", "")
		r.start().pass(time.Second)
		r.blocked, r.deaf = true, true
		r.write("access.log", "one\n")
		r.pass(time.Second)
		r.kill()
		r.blocked, r.deaf = false, false
		return r
	}
	t.Run("copytruncate while down", func(t *testing.T) {
		r := begun(t)
		r.write("access.log", "two\n")
		r.copy("access.log", "access.log.1")
		r.truncate("access.log")
		r.write("access.log", "three\n")
		r.start().pass(2 * time.Minute)
		r.wants("one", "two", "three")
		require.Zero(t, r.tailer.Counts().Lost)
	})
	t.Run("truncate while down is measured", func(t *testing.T) {
		r := begun(t)
		r.truncate("access.log")
		r.start().pass(2 * time.Minute)
		r.wants()
		require.EqualValues(t, len("one\n"), r.tailer.Counts().Lost)
	})
}

func TestDeleteAndCreateOnTheSameInode(t *testing.T) {
	for name, births := range map[string]bool{"births": true, "no births": false} {
		for _, down := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inodes := useInodes(t, births)
				r := newRig(t, access)
				r.write("access.log", "one\nsame\n")
				id := inodes.give(t, r.path("access.log"))
				r.start().pass(time.Second)
				if down {
					r.kill()
				} else {
					r.closeIdle() // while it is open the number is not given again
				}
				r.remove("access.log")
				r.write("access.log", "two\nsame\nmore\n")
				inodes.giveAgain(t, r.path("access.log"), id)
				if down {
					r.start()
				}
				r.pass(time.Second)
				r.wants("one", "same", "two", "same", "more")
				require.Len(t, r.streams(), 2)
			})
		}
	}
}

func TestCheckpointBeyondTheEnd(t *testing.T) {
	r := newRig(t, access).start()
	text, before := numbered("x", 0, 100)
	r.write("access.log", text)
	r.pass(time.Second)
	r.kill()
	require.NoError(t, os.Truncate(r.path("access.log"), 9*2))
	r.start().pass(time.Second)
	r.wants(append(before, before[:2]...)...)
}

func TestTwoFilesWithTheSameFirst4KiB(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.log"}).start()
	head, lines := numbered("head", 0, 400)
	r.write("a.log", head+"a\n")
	r.pass(time.Second)
	r.write("a1.log", head+"b\n")
	r.pass(time.Second)
	want := append(append(append([]string{}, lines...), lines...), "a", "b")
	r.wants(want...)
	r.kill()
	r.write("a.log", "c\n")
	r.start().pass(time.Second)
	r.wants(append(want, "c")...)
	r.write("a2.log", head) // may be a copy in the making
	r.pass(5 * time.Second)
	r.wants(append(append(want, "c"), lines...)...)
}

func TestUnlinkedWhileUnread(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	r.write("access.log", "two\n")
	r.remove("access.log")
	r.pass(time.Minute)
	require.NotZero(t, r.tailer.Counts().HeldBytes)
	r.blocked = false
	r.pass(2 * time.Minute)
	r.wants("one", "two")
	require.Zero(t, r.tailer.Counts().Open)
	require.Empty(t, r.store.entries)
	require.Empty(t, r.tailer.origins[""].left)
}
