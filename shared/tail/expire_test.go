// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/tail/fingerprint"
)

// days lets days pass: the sidecar is killed and started again each day, as Pods are.
func (r *rig) days(n int) {
	r.Helper()
	for range n {
		r.kill()
		r.now = r.now.Add(24 * time.Hour)
		r.start().pass(2 * time.Second)
	}
}

func TestADeclarationThatComesBackGoesOn(t *testing.T) {
	for name, w := range map[string]Selection{
		"declaration": {Name: "other", Pattern: "other.log"},
		"output":      {Name: "a", Pattern: "x.log", Outputs: []string{"second"}},
		"pattern":     {Name: "a", Pattern: "other.log"},
		"base":        {Name: "a", Pattern: "elsewhere/x.log"},
		"exclude":     {Name: "a", Pattern: "x.log", Exclude: []string{"x*"}},
	} {
		for _, restarts := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, Selection{Name: "a", Pattern: "x.log"})
				before := r.selections
				edited := newRigIn(t, r.dir, w).selections
				edited[0].Version = "edited"
				r.write("elsewhere/y.log", "")
				r.write("x.log", "one\n")
				r.start().pass(2 * time.Minute)
				for range 3 { // back and forth
					r.selections = edited
					if restarts {
						r.days(6)
						r.pass(2 * time.Minute)
					} else {
						r.set(edited...)
						r.pass(2 * time.Minute)
						r.now = r.now.Add(6 * 24 * time.Hour)
						r.pass(2 * time.Minute)
					}
					r.arrived = nil
					r.selections = before
					if restarts {
						r.days(1)
					} else {
						r.set(before...)
					}
					r.pass(2 * time.Minute)
					r.wants()
					require.NotEmpty(t, r.store.entries)
				}
				r.write("x.log", "two\n")
				r.pass(2 * time.Second)
				r.wants("two")
			})
		}
	}
}

func TestADeclarationThatStaysAwayIsForgotten(t *testing.T) {
	for _, restarts := range []bool{true, false} {
		r := newRig(t, Selection{Name: "a", Pattern: "x.log", Outputs: []string{"out", "second"}}, Selection{Name: "b", Pattern: "[xy].log"}, Selection{Name: "c", Pattern: "y.log"})
		all := r.selections
		r.write("x.log", "one\n")
		r.write("y.log", "two\n")
		r.start().pass(2 * time.Minute)
		require.Len(t, r.store.entries, 5)
		away := func(watches []Selection) {
			r.selections = watches
			if restarts {
				r.days(9)
				return
			}
			r.set(watches...)
			r.pass(2 * time.Second)
			r.now = r.now.Add(9 * 24 * time.Hour)
			r.pass(2 * time.Second)
		}
		one := append([]Selection{}, all[:2]...)
		one[0].Outputs, one[0].Version = []string{"out"}, "one output"
		away(one)
		require.Len(t, r.store.entries, 3, "of the output and the declaration that are gone nothing is left")
		away(nil)
		require.Empty(t, r.store.entries)
		require.Zero(t, r.tailer.Counts().Files)
		require.Empty(t, r.stored())
		require.Zero(t, r.tailer.Counts().Lost)
		r.arrived = nil
		r.set(all...)
		r.selections = all
		r.pass(2 * time.Second)
		r.wants("one", "one", "one", "two", "two")
	}
}

func TestWhatWasRemovedWhileNobodyDeclaredItIsForgotten(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "x.log"})
	r.write("x.log", "one\n")
	r.start().pass(time.Second)
	r.kill()
	r.remove("x.log")
	r.selections = nil
	r.start().pass(2 * time.Minute)
	require.Len(t, r.store.entries, 1)
	r.days(8)
	require.Empty(t, r.store.entries)
	require.NotContains(t, r.log.String(), "lost")
}

func TestARemovedFileThatNobodyAsksForIsLetGo(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	r.write("access.log", "two\n")
	r.pass(time.Second)
	r.set()
	r.pass(time.Second)
	r.remove("access.log")
	r.pass(2 * time.Second)
	require.Zero(t, r.tailer.Counts().Open, "its bytes would stay on the disk, for nobody")
	require.Zero(t, r.tailer.Counts().Lost)
	r.pass(2 * time.Minute)
	require.Empty(t, r.store.entries)
}

func TestClockThatWasWrongWhenADeclarationWentAway(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.selections = nil
	r.set()
	r.pass(time.Second)
	right := r.now
	r.now = right.AddDate(70, 0, 0)
	r.pass(time.Second)
	r.now = right
	r.days(6)
	require.Len(t, r.store.entries, 1)
	r.days(3)
	require.Empty(t, r.store.entries)
}

func TestENOSPCWhenAPositionIsForgotten(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\n")
	r.pass(2 * time.Minute)
	r.selections = nil
	r.days(1)
	r.store.err = &os.PathError{Op: "write", Path: "checkpoints.db", Err: unix.ENOSPC}
	r.now = r.now.Add(keepUnused)
	r.pass(10 * time.Second)
	require.Equal(t, 1, strings.Count(r.log.String(), "no space left"))
	require.Len(t, r.store.entries, 1)
	r.store.err = nil
	r.pass(time.Second)
	require.Empty(t, r.store.entries)
	require.Empty(t, r.tailer.Problems())
}

func TestEntriesThatCantBeReadAreForgotten(t *testing.T) {
	r := newRig(t, access)
	for stream, mark := range map[string][]byte{"file:none": nil, "file:torn": {1, 0, 255}, "file:newer": {fingerprint.Version + 1, 7}, "docker:abc": nil} {
		r.store.entries[checkpoint.Key{Stream: stream, Declaration: "access", Output: "out"}] = checkpoint.Entry{Mark: mark}
	}
	r.start().pass(time.Second)
	require.Len(t, r.store.entries, 2)
	require.Contains(t, r.store.entries, checkpoint.Key{Stream: "file:newer", Declaration: "access", Output: "out"})
	require.Contains(t, r.store.entries, checkpoint.Key{Stream: "docker:abc", Declaration: "access", Output: "out"})
}
