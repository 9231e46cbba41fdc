// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func countLines(t *testing.T, path string) int {
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return bytes.Count(content, []byte("\n"))
}

// The directory goes away, becomes one that can't be written in, and comes back, while lines arrive.
func TestFileRecoversByItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	streams := []*lines{{key: "stream-1"}, {key: "stream-2"}}
	rig := newRig(t, "file", map[string]string{"FILE_PATH": dir, "FILE_NAME": "{docker_container}"}, streams)
	for _, l := range streams {
		l.count.Store(1000)
	}
	rig.until(func() bool { return countLines(t, filepath.Join(dir, "stream-1")) == 1000 })
	moved := dir + ".moved"
	require.NoError(t, os.Rename(dir, moved))
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // so that the directory can't be made again
	for _, l := range streams {
		l.count.Add(500)
	}
	rig.until(func() bool { return rig.log.has("output failed, retrying") })
	require.Contains(t, rig.log.String(), dir)
	require.NoError(t, os.Remove(dir))
	for _, l := range streams {
		l.ended.Store(true)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.True(t, rig.Drain(ctx), "%s", rig.log)
	rig.stop()
	for _, l := range streams {
		var got []int64
		for _, path := range []string{filepath.Join(moved, l.key), filepath.Join(dir, l.key)} {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			for row := range bytes.Lines(content) {
				var r struct{ Offset int64 }
				require.NoError(t, json.Unmarshal(row, &r))
				got = append(got, r.Offset/width)
			}
		}
		require.Len(t, got, 1500)
		for i, n := range got {
			require.EqualValues(t, i, n)
		}
	}
	require.Equal(t, 1, rig.log.count("output failed, retrying"))
	require.Equal(t, 1, rig.log.count("output recovered"))
}

func TestNullTakesEverything(t *testing.T) {
	streams := []*lines{{key: "stream-1"}}
	rig := newRig(t, "null", nil, streams)
	streams[0].count.Store(10_000)
	streams[0].ended.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.True(t, rig.Drain(ctx))
}
