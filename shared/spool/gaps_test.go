// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/stream"
)

// An output replaces another one that was down: it gets what that one did not acknowledge, and the gap of what was dropped
// for it, with its number.
func TestANewOutputTakesOver(t *testing.T) {
	for name, former := range map[string]map[string]int64{"nothing acknowledged": {}, "some": {"d/old": -2},
		"with its checkpoint": {"d/old": -2}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, LogOptions{MaxBytes: 64 << 10, Views: map[string]int64{"d/old": 0, "other/old": 0}})
			r.write(50)
			acknowledged, _, at := r.read("d/old", 0)
			if len(former) > 0 {
				r.log.View("d/old").Release(at)
				former["d/old"] = at
			} else {
				acknowledged = 0
			}
			for range 20 {
				r.write(100)
			}
			position := int64(NoCheckpoint)
			if name == "with its checkpoint" {
				position = at
			}
			r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"d/new": position}, Former: former})
			start := r.log.View("d/new").Released()
			require.Equal(t, former["d/old"], start)
			frames, gaps, _ := r.read("d/new", start)
			require.Len(t, gaps, 1)
			require.Equal(t, reasonSpoolFull, gaps[0].Reason)
			require.EqualValues(t, 2050, acknowledged+frames+gaps[0].Records)
			// And back: the gap of the old output was not forgotten while it was not configured.
			old := map[string]int64{"d/old": former["d/old"]}
			r.reopen(LogOptions{MaxBytes: 1 << 30, Views: old, Former: map[string]int64{"d/new": start}})
			frames, gaps, _ = r.read("d/old", old["d/old"])
			require.Len(t, gaps, 1)
			require.EqualValues(t, 2050, acknowledged+frames+gaps[0].Records)
		})
	}
}

// An output that joins another one begins where that one is.
func TestAnOutputIsAdded(t *testing.T) {
	r := newRig(t, LogOptions{Views: map[string]int64{"d/a": 0}})
	r.write(100)
	_, _, at := r.read("d/a", 0)
	r.log.View("d/a").Release(at)
	r.spool.maintain(true)
	r.write(7)
	r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"d/a": at, "d/b": NoCheckpoint}})
	require.Equal(t, at, r.log.View("d/b").Released())
	frames, gaps, _ := r.read("d/b", at)
	require.EqualValues(t, 7, frames)
	require.Empty(t, gaps, "what another output has got is not lost")
}

// Nothing is known of those who read before: what is missing was given back, not lost in a crash.
func TestANewReaderWithoutAPredecessor(t *testing.T) {
	r := newRig(t, LogOptions{Views: map[string]int64{"d/a": 0}})
	for range 3 {
		r.write(100)
	}
	_, _, at := r.read("d/a", 0)
	r.log.View("d/a").Release(at)
	r.spool.maintain(true)
	r.write(100)
	first := (*r.log.segments.Load())[0].base
	require.Positive(t, first)
	r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"else/b": NoCheckpoint}})
	_, gaps, _ := r.read("else/b", 0)
	require.Equal(t, stream.Gap{To: first, Records: -1, Bytes: first, Reason: reasonRemoved}, gaps[0])
}

// A gap that was not delivered yet is known after a restart, also where nothing else is left of a container that ended.
func TestAllOfAnEndedLogIsDropped(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.write(100)
	r.log.Finish()
	r.log.drop(1 << 40)
	require.Zero(t, r.log.Stored())
	r.spool.maintain(true)
	r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	frames, gaps, end := r.read("v", 0)
	require.Zero(t, frames)
	require.Len(t, gaps, 1)
	require.EqualValues(t, 100, gaps[0].Records)
	r.log.View("v").Release(end)
	r.spool.maintain(true)
	require.Nil(t, r.spool.Log("c-1"))
}

func TestUnknownGapIsReportedUntilItIsDelivered(t *testing.T) {
	r := newRig(t, LogOptions{})
	r.write(5)
	r.log.AddUnknownGap("container ended while Remora was not running")
	r.log.Finish()
	r.log.AddUnknownGap("too late")
	for range 2 {
		frames, gaps, end := r.read("v", 0)
		require.EqualValues(t, 5, frames)
		require.Equal(t, []stream.Gap{{From: end - unknownLen, To: end, Records: -1,
			Reason: "container ended while Remora was not running"}}, gaps)
		require.Equal(t, end, r.log.End())
		r.reopen(LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	}
}

// With a backend that takes nothing, block waits once and not for each piece: 640 KiB beyond a budget of 64 KiB take the
// 8 seconds once. When something was delivered it waits again.
func TestBlockWaitsOnce(t *testing.T) {
	r := newRig(t, LogOptions{MaxBytes: 64 << 10, WhenFull: Block, BlockTimeout: 8 * time.Second})
	began := r.clock
	var held int
	for range 50 {
		r.feed(100)
		for err := error(nil); err == nil; {
			if pause := r.log.Backpressure(); pause > 0 {
				if since := r.log.HeldUpSince(); !since.IsZero() {
					held++
					require.False(t, since.Before(began) || since.After(r.clock), "held up since %v", since)
				}
				r.clock = r.clock.Add(pause)
				r.spool.maintain(false)
				continue
			}
			_, err = r.log.Take(r.pipe[0])
		}
	}
	require.Positive(t, held)
	require.GreaterOrEqual(t, r.clock.Sub(began), 8*time.Second)
	require.Less(t, r.clock.Sub(began), 11*time.Second)
	require.True(t, r.log.HeldUpSince().IsZero())
	frames, gaps, end := r.read("v", 0)
	require.EqualValues(t, 5000, frames+gaps[0].Records)

	r.log.View("v").Release(end)
	r.spool.maintain(true)
	began = r.clock
	for range 10 {
		r.write(100)
	}
	require.GreaterOrEqual(t, r.clock.Sub(began), 8*time.Second, "it waits again once something was delivered")
}
