// SPDX-License-Identifier: Apache-2.0

package podlogs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// age makes a directory look as if it had been changed a while ago.
func age(t *testing.T, dir string, d time.Duration) {
	t.Helper()
	at := time.Now().Add(-d)
	require.NoError(t, os.Chtimes(dir, at, at))
}

// An idle agent lists nothing. What is new is found at once, and in a Pod that is old after a turn more.
func TestOnlyChangesAreListed(t *testing.T) {
	dir := t.TempDir()
	i := New(dir, func(path string) string { return path })
	list := func() int {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		return len(all)
	}
	pod := func(name, container string) string {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, container), 0o755))
		return filepath.Join(dir, name)
	}
	young, old := pod("shop_web-0_1", "app"), pod("shop_web-1_2", "app")
	require.True(t, i.hasChanged(0), "nothing was listed yet")
	require.Equal(t, 2, list())
	require.True(t, i.hasChanged(0), "a directory that was changed just now may be changed again")
	age(t, young, 10*time.Second)
	age(t, old, time.Hour)
	age(t, dir, time.Hour)
	require.Equal(t, 2, list())
	for turn := range 4 {
		require.False(t, i.hasChanged(turn))
	}

	pod("shop_web-0_1", "sidecar")
	require.True(t, i.hasChanged(0))
	require.True(t, i.hasChanged(1))
	age(t, young, 9*time.Second)
	require.Equal(t, 3, list())
	pod("shop_web-1_2", "debugger")
	require.True(t, i.hasChanged(0) || i.hasChanged(1))
	age(t, old, 30*time.Minute)
	require.Equal(t, 4, list())

	require.False(t, i.hasChanged(0) || i.hasChanged(1))
	pod("shop_web-2_3", "app")
	require.True(t, i.hasChanged(0))
	age(t, filepath.Join(dir, "shop_web-2_3"), time.Hour)
	age(t, dir, time.Minute)
	require.Equal(t, 5, list())
	require.NoError(t, os.RemoveAll(old))
	require.True(t, i.hasChanged(0))
}
