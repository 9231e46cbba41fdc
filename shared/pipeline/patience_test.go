// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who waits for one that never comes waits a tenth of the time, and in few pieces, however fine the clock is.
func TestPatienceEnds(t *testing.T) {
	var p patience
	now := time.Unix(0, 0)
	var waited time.Duration
	var begun, waits int
	waiting := false
	const step = 3 * time.Microsecond
	for range 10 * time.Second / step {
		left := p.left(now)
		if left > 0 && !waiting {
			begun++
		}
		if waiting = left > 0; waiting {
			waits++
			waited += step
			p.spend(now, now.Add(step))
		}
		now = now.Add(step)
	}
	require.InDelta(t, time.Second+mostPatience, waited, float64(mostPatience))
	require.Less(t, begun, 20)
}

func TestPatienceIsPaidOnce(t *testing.T) {
	var p patience
	now := time.Unix(0, 0)
	require.Equal(t, mostPatience, p.left(now))
	for range 100 { // feeds that wait side by side
		require.Equal(t, mostPatience-50*time.Millisecond, p.spend(now, now.Add(50*time.Millisecond)))
	}
	require.Zero(t, p.spend(now, now.Add(time.Second)))
	require.Zero(t, p.left(now.Add(time.Second+mostPatience)), "a little of it is not worth a wait")
	require.NotZero(t, p.left(now.Add(time.Second+5*mostPatience)))
}
