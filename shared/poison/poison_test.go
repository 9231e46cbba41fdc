// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/mapped"
)

func open(t *testing.T, dir string, slots int) *Watch {
	w, err := Open(dir, slots, mapped.Map, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return w
}

// die works on a record and leaves the mark behind, as a process that is killed does.
func die(w *Watch, slot int, source string, mark int64) {
	s := w.Slot(slot)
	s.Enter(source, "es", 0, false)
	*s.At() = mark + 1
}

func TestDeathsOfARecordAreCounted(t *testing.T) {
	dir := t.TempDir()
	for death := 1; death <= 3; death++ {
		w := open(t, dir, 2)
		require.Equal(t, death == AsideAfter, w.Any())
		die(w, 1, "abcdefghijklmnop", 42)
	}
	w := open(t, dir, 2)
	require.Equal(t, map[int64]int{42: 3}, w.Of("abcdefghijklmnop", "es"))
	require.Nil(t, w.Of("abcdefghijklmnop", "kafka"))
	require.False(t, w.Any(), "it is set aside, and need not be alone")
	w.Clear("abcdefghijklmnop", "es", 42)
	require.Nil(t, open(t, dir, 2).Of("abcdefghijklmnop", "es"))
}

func TestWhoWasWorkedOnOnceIsNoSuspectAndAnEndedTurnLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		w := open(t, dir, 4)
		s := w.Slot(0)
		s.Enter("quiet", "es", 0, false)
		*s.At() = 8
		*s.At() = 0
	}
	w := open(t, dir, 4)
	die(w, 0, "other", 1)
	w = open(t, dir, 1) // fewer workers than before
	require.Nil(t, w.Of("quiet", "es"))
	require.Nil(t, w.Of("other", "es"))
	require.Len(t, w.suspects, 1)
}

func TestSuspectsAreBoundedAndDamageIsForgotten(t *testing.T) {
	dir := t.TempDir()
	for i := range maxSuspects/8 + 10 {
		w := open(t, dir, 8)
		for slot := range 8 {
			die(w, slot, "s", int64(8*i+slot))
		}
	}
	w := open(t, dir, 8)
	require.Len(t, w.suspects, maxSuspects)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "suspects.json"), []byte("{"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "processing"), []byte("short"), 0o600))
	w = open(t, dir, 1)
	require.Empty(t, w.suspects)
}

func TestADirectoryThatCannotBeWrittenIsAnError(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "missing"), 1, mapped.Map, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Where nothing can be mapped, a death tells a turn, and the next ones the record; each turn costs two system calls.
func TestMarksThatAreNotMapped(t *testing.T) {
	dir := t.TempDir()
	unmapped := func() *Watch {
		w, err := Open(dir, 2, func(*os.File, int64, int64) ([]byte, error) { return nil, mapped.ErrCopyOnWrite }, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return w
	}
	w := unmapped()
	s := w.Slot(1)
	s.Enter("quiet", "es", 500, false)
	s.Leave()
	_, _, ok := unmapped().Turn("quiet", "es")
	require.False(t, ok)
	for _, end := range []int64{0, 7000} { // the later one counts
		s = unmapped().Slot(1)
		s.Enter("source", "es", end, false)
		*s.At() = 43 // as a chain does, for nobody to see
	}
	w = unmapped()
	mark, end, ok := w.Turn("source", "es")
	require.True(t, ok)
	require.EqualValues(t, 7000, end)
	require.Len(t, w.suspects, 1)
	require.Nil(t, w.Of("source", "es"))
	require.False(t, w.Any())
	for death := range 3 {
		require.Equal(t, death == AloneAfter, w.Any())
		s = w.Slot(1)
		s.Enter("source", "es", 7000, true)
		s.Mark(41)
		s.Mark(42)
		w = unmapped()
	}
	require.Equal(t, map[int64]int{42: 3}, w.Of("source", "es"))
	w.Clear("source", "es", mark)
	_, _, ok = w.Turn("source", "es")
	require.False(t, ok)
	require.Equal(t, map[int64]int{42: 3}, unmapped().Of("source", "es"))
	require.NoError(t, w.Close())
}
