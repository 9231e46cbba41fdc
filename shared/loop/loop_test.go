// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWatch(t *testing.T) {
	var w Watch
	now := time.Unix(1e9, 0)
	require.Zero(t, w.Late(now), "it does not run")
	w.Turn(now)
	require.Equal(t, time.Minute, w.Late(now.Add(time.Minute)))
	require.True(t, w.Wait())
	require.False(t, w.Wait())
	require.Zero(t, w.Late(now.Add(time.Hour)))
	w.Turn(now.Add(time.Hour))
	require.Equal(t, time.Second, w.Late(now.Add(time.Hour+time.Second)))
}
