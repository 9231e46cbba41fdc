// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Each loop alone makes /healthz fail, and none does that is not expected to turn.
func TestStalled(t *testing.T) {
	now := time.Unix(1e9, 0)
	var files, commits loop.Watch
	loops := []loop.Named{{Name: "over files", Late: files.Late}, {Name: "that commits positions", Late: commits.Late}}
	require.Empty(t, loop.Stalled(now, loops...))
	files.Turn(now)
	commits.Turn(now)
	now = now.Add(loop.StalledAfter)
	require.Empty(t, loop.Stalled(now, loops...))
	files.Turn(now)
	now = now.Add(time.Second)
	require.Equal(t, "the loop that commits positions has not turned for 1m1s", loop.Stalled(now, loops...))
	commits.Wait()
	require.Empty(t, loop.Stalled(now, loops...))
	now = now.Add(loop.StalledAfter)
	require.Equal(t, "the loop over files has not turned for 1m1s", loop.Stalled(now, loops...))
}

// The agent's health hangs on its own loop: a process that was set up, with a runtime that does not answer, is healthy.
func TestHealth(t *testing.T) {
	m := newMachine(t, "collect: []\n")
	n, err := open(m.environ)
	require.NoError(t, err)
	t.Cleanup(func() {
		n.tailer.Close()
		require.NoError(t, n.delivery.Close())
	})
	now := time.Now()
	n.agent.now = func() time.Time { return now }
	health := func() string {
		var s telemetry.Snapshot
		n.report(&s)
		return s.Stalled
	}
	require.Empty(t, health())
	n.agent.loop.Turn(now)
	now = now.Add(loop.StalledAfter)
	require.Empty(t, health())
	now = now.Add(time.Second)
	require.Equal(t, "the loop over containers has not turned for 1m1s", health())
	n.agent.loop.Turn(now)
	require.Empty(t, health())
	n.agent.loop.Wait()
	now = now.Add(time.Hour)
	require.Empty(t, health())
}

// A container that an inventory could not tell of is a problem of its own, by ID, and no fault of the runtime.
func TestWhatIsTooLargeIsReported(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	a.Listed("docker", []string{"huge"}, nil)
	var s telemetry.Snapshot
	a.report(&s, func(string) bool { return false })
	require.Empty(t, s.Faults)
	require.Len(t, s.Problems, 1)
	require.Equal(t, "huge", s.Problems[0].Container)
	require.Equal(t, notice.ContainerTooLarge.Code, s.Problems[0].Code)
	require.False(t, s.Problems[0].Warning)
}
