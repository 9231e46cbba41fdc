// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKnown(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadKnown(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	known := &Known{Image: "nginx:1", Labels: map[string]string{"aliyun.logs.x": "stdout", "odd": "\x00\n\"é"}}
	require.NoError(t, known.Store(dir))
	read, err := ReadKnown(dir)
	require.NoError(t, err)
	require.Equal(t, known, read)
	info, err := os.Stat(filepath.Join(dir, knownName))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())

	c := &Container{ID: "c1", Labels: map[string]string{"nerdctl/name": "web"}}
	before := c.Labels
	c.Add(read)
	require.Equal(t, "nginx:1", c.Image)
	require.Equal(t, "web", c.Labels["nerdctl/name"])
	require.Equal(t, "stdout", c.Labels["aliyun.logs.x"])
	require.Len(t, before, 1)
	c = &Container{}
	c.Add(nil)
	require.Zero(t, *c)
}

// What a crash or somebody else made of the file is an error, never other labels.
func TestADamagedKnown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, knownName)
	require.NoError(t, (&Known{Labels: map[string]string{"aliyun.logs.x": "stdout"}}).Store(dir))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := range whole {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		_, err := ReadKnown(dir)
		require.Error(t, err, n)
		flipped := []byte(string(whole))
		flipped[n] ^= 1
		require.NoError(t, os.WriteFile(path, flipped, 0o600))
		_, err = ReadKnown(dir)
		require.Error(t, err, n)
	}
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", maxKnown+1)), 0o600))
	_, err = ReadKnown(dir)
	require.ErrorIs(t, err, errKnown)
}

// Labels without end are refused, and leave what was there.
func TestAKnownThatIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, (&Known{Image: "nginx:1"}).Store(dir))
	require.Error(t, (&Known{Labels: map[string]string{"x": strings.Repeat("x", maxKnown)}}).Store(dir))
	read, err := ReadKnown(dir)
	require.NoError(t, err)
	require.Equal(t, "nginx:1", read.Image)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}
