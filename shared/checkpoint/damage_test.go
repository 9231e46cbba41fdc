// SPDX-License-Identifier: Apache-2.0

package checkpoint_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
)

// Bits that a disk has turned, or a tail that is missing, must neither end the process nor keep a store from being had,
// and a store that was taken for sound must be readable.
func TestRandomDamageNeverEndsTheProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "checkpoints.db")
	s, err := checkpoint.Open(path)
	require.NoError(t, err)
	for round := range 3 {
		put := map[checkpoint.Key]checkpoint.Entry{}
		for i := range 400 {
			put[checkpoint.Key{Stream: fmt.Sprintf("stream-%d", i), Declaration: "d", Output: "o"}] = at(int64(round), int64(i+round))
		}
		require.NoError(t, s.Commit(put, nil))
	}
	require.NoError(t, s.Close())
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	rng, tries := rand.New(rand.NewPCG(7, 11)), 300
	if testing.Short() {
		tries = 60
	}
	for try := range tries {
		bad := append([]byte(nil), sound...)
		for range 1 + rng.IntN(4) {
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		}
		if try%4 == 0 {
			bad = bad[:rng.IntN(len(bad))]
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.db", try))
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		s, err := checkpoint.Open(path)
		require.NoError(t, err, "try %d", try)
		key := checkpoint.Key{Stream: "stream-7", Declaration: "d", Output: "o"}
		_, _, err = s.Load(key)
		require.NoError(t, err, "try %d", try)
		require.NoError(t, s.Each(func(checkpoint.Key, checkpoint.Entry) {}))
		// A list of free pages that is damaged is found out when the first one is taken.
		if err := s.Commit(map[checkpoint.Key]checkpoint.Entry{key: at(1, 1)}, nil); err != nil {
			require.ErrorContains(t, err, "damaged", "try %d", try)
		}
		require.NoError(t, s.Close())
		_, _ = os.Remove(path), os.Remove(path+".bad")
	}
}
