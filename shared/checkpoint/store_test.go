// SPDX-License-Identifier: Apache-2.0

package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/remora-logs/remora/shared/checkpoint"
)

func at(low, done int64) checkpoint.Entry {
	return checkpoint.Entry{Position: checkpoint.Position{Low: low, Done: done}}
}

func open(t *testing.T, path string) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestWhatWasCommittedIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	a, b := checkpoint.Key{Stream: "s", Declaration: "a", Output: "kafka"}, checkpoint.Key{Stream: "s", Declaration: "b", Output: "kafka"}
	s := open(t, path)
	withMark := at(5, 9)
	withMark.Mark = []byte("head\x00tail")
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{a: withMark, b: at(0, 0)}, nil))
	require.NoError(t, s.Commit(nil, []checkpoint.Key{b}))
	require.NoError(t, s.Close())

	s = open(t, path)
	got, ok, err := s.Load(a)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, withMark, got)
	_, ok, err = s.Load(b)
	require.NoError(t, err)
	require.False(t, ok)
	seen := map[checkpoint.Key]checkpoint.Entry{}
	require.NoError(t, s.Each(func(k checkpoint.Key, e checkpoint.Entry) { seen[k] = e }))
	require.Equal(t, map[checkpoint.Key]checkpoint.Entry{a: withMark}, seen)
}

func TestTroubleIsKeptUntilItsStreamIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	key := checkpoint.Key{Stream: "s", Declaration: "d", Output: "o"}
	s := open(t, path)
	e := at(5, 9)
	e.Losses = checkpoint.Losses{Gaps: 1, DroppedRecords: 7, DroppedBytes: 70, RefusedRecords: 2, Error: "too large",
		Since: time.Unix(1_700_000_000, 0).UTC()}
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{key: e}, nil))
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{key: at(9, 9)}, nil)) // by one that knows of none
	require.NoError(t, s.Close())

	s = open(t, path)
	got, ok, err := s.Load(key)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, at(9, 9).Position, got.Position)
	require.Equal(t, e.Losses, got.Losses)
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{key: at(0, 0)}, []checkpoint.Key{key}))
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{key: at(0, 0)}, nil))
	got, _, err = s.Load(key)
	require.NoError(t, err)
	require.Zero(t, got.Losses)
}

func TestADamagedFileIsPutAsideAndANewOneBegun(t *testing.T) {
	whole := func(t *testing.T) []byte {
		path := filepath.Join(t.TempDir(), "db")
		s := open(t, path)
		put := map[checkpoint.Key]checkpoint.Entry{}
		for i := range 500 {
			put[checkpoint.Key{Stream: fmt.Sprintf("stream-%d", i), Declaration: "d", Output: "o"}] = at(1, 2)
		}
		require.NoError(t, s.Commit(put, nil))
		require.NoError(t, s.Close())
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return b
	}
	damage := map[string]func([]byte) []byte{
		"foreign":         func([]byte) []byte { return []byte("this is somebody's shopping list\n") },
		"half of it gone": func(b []byte) []byte { return b[:len(b)/2] },
		"first page":      func(b []byte) []byte { return b[:4096] },
		"both meta pages": func(b []byte) []byte { clear(b[:8192]); return b },
		"pages overwritten": func(b []byte) []byte {
			for i := 8192; i < len(b); i++ {
				b[i] = 0xa5
			}
			return b
		},
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "checkpoints.db")
			bad := spoil(whole(t))
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			s := open(t, path)
			require.Equal(t, path+".bad", s.Moved)
			aside, err := os.ReadFile(s.Moved)
			require.NoError(t, err)
			require.Len(t, aside, len(bad))
			require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{{Stream: "s"}: at(1, 1)}, nil))
		})
	}
}

// A store is never empty, not even when the process was killed while it made it.
func TestAnEmptiedFileIsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	s := open(t, path)
	require.Equal(t, path+".bad", s.Moved)
	require.ErrorContains(t, s.Why, "empty")
}

func TestAHalfMadeFileIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	require.NoError(t, os.WriteFile(path+".new", nil, 0o600))
	s := open(t, path)
	require.Empty(t, s.Moved)
}

// What a newer Remora wrote is not taken for no checkpoints at all: it is said, and kept.
func TestAStoreOfANewerVersionIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	s := open(t, path)
	require.NoError(t, s.Close())
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("checkpoints")).Put([]byte("s\x00d\x00o"), []byte{2, 1, 2, 3})
	}))
	require.NoError(t, db.Close())
	s = open(t, path)
	require.Equal(t, path+".bad", s.Moved)
	require.ErrorContains(t, s.Why, "newer Remora (version 2")
}

func TestADirectoryThatCannotHoldItIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "checkpoints.db")
	_, err := checkpoint.Open(path)
	require.ErrorContains(t, err, path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestASecondProcessIsTurnedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	open(t, path)
	_, err := checkpoint.Open(path)
	require.ErrorContains(t, err, path)
}

// Every state of the file that a kill can leave is one that some prefix of the writes of a commit produced. bbolt
// writes pages beside the old ones and then one meta page, so a torn commit must read as the state before it.
func TestATornMetaPageReadsAsTheStateBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	key := checkpoint.Key{Stream: "s", Declaration: "d", Output: "o"}
	s := open(t, path)
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{key: at(1, 1)}, nil))
	require.NoError(t, s.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	s = open(t, path)
	require.NoError(t, s.Commit(map[checkpoint.Key]checkpoint.Entry{key: at(2, 2)}, nil))
	require.NoError(t, s.Close())
	after, err := os.ReadFile(path)
	require.NoError(t, err)

	page := os.Getpagesize()
	for _, metas := range []int{0, 1} { // the data pages came through, of the two meta pages only one or none did
		torn := append([]byte(nil), after...)
		copy(torn[:2*page], before[:2*page])
		if metas == 1 {
			copy(torn[:64], after[:64])
		}
		require.NoError(t, os.WriteFile(path, torn, 0o600))
		s := open(t, path)
		require.Empty(t, s.Moved)
		got, ok, err := s.Load(key)
		require.NoError(t, err)
		require.True(t, ok)
		require.Contains(t, []int64{1, 2}, got.Done)
		require.NoError(t, s.Close())
	}
}
