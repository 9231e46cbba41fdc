// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/mapped"
)

// killed opens the store that the next process finds if this one is killed now.
func killed(t *testing.T, path string) *Store {
	dir := t.TempDir()
	next := filepath.Join(dir, filepath.Base(path))
	for _, suffix := range []string{"", ".slots"} {
		content, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(next+suffix, content, 0o600))
	}
	return store(t, next)
}

func store(t *testing.T, path string) *Store {
	s, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, s.Unslotted)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func key(i int) Key { return Key{Stream: fmt.Sprintf("s-%d", i), Declaration: "d", Output: "o"} }

func TestAPositionIsKnownAfterAKillThatWasNeverCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := store(t, path)
	require.NoError(t, s.Commit(map[Key]Entry{
		key(0): {Position: Position{10, 10}, Mark: []byte("mark"), Losses: Losses{Gaps: 3}},
		key(2): {Position: Position{99, 99}},
	}, nil))
	for i, pos := range []Position{{20, 25}, {7, 8}, {50, 50}} {
		slot := s.Slot(key(i))
		slot.Set(Position{1, 1})
		slot.Set(pos)
	}
	next := killed(t, path)
	e, ok, err := next.Load(key(0))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, Entry{Position: Position{20, 25}, Mark: []byte("mark"), Losses: Losses{Gaps: 3}}, e)
	e, ok, err = next.Load(key(1))
	require.NoError(t, err)
	require.True(t, ok, "its first commit did not come")
	require.Equal(t, Position{7, 8}, e.Position)
	e, _, err = next.Load(key(2))
	require.NoError(t, err)
	require.Equal(t, Position{99, 99}, e.Position, "what was committed later counts")

	require.NoError(t, next.Commit(map[Key]Entry{key(1): {Position: Position{9, 9}}}, nil))
	require.NoError(t, next.Commit(nil, []Key{key(1)}))
	_, ok, err = next.Load(key(1))
	require.NoError(t, err)
	require.False(t, ok, "forgotten is forgotten")

	again := killed(t, next.path)
	e, _, err = again.Load(key(0))
	require.NoError(t, err)
	require.Equal(t, Position{20, 25}, e.Position, "it was moved to the store")
}

// A kill may fall between any two stores to memory: the position before is found then.
func TestATornSlotGivesThePositionBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := store(t, path)
	slot := s.Slot(key(0))
	slot.Set(Position{1, 2})
	slot.Set(Position{3, 4})
	for i := range positionSize {
		at := slot.mem[hashSize+positionSize+i:]
		was := at[0]
		at[0] ^= 0x5a
		slot.write()
		found, err := readSlots(path+".slots", bootID())
		require.NoError(t, err)
		require.Equal(t, Position{1, 2}, found[key(0).hash()], "byte %d", i)
		at[0] = was
		slot.write()
	}
	found, err := readSlots(path+".slots", bootID())
	require.NoError(t, err)
	require.Equal(t, Position{3, 4}, found[key(0).hash()])
}

// After the death of the machine the slots are not believed: what they have passed may not be on disk.
func TestSlotsOfAnotherBootAreNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := store(t, path)
	s.Slot(key(0)).Set(Position{1, 2})
	found, err := readSlots(path+".slots", [hashSize]byte{1})
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestSlotsAreUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := store(t, path)
	var all []*Slot
	for i := range 3 * slotsPerChunk {
		slot := s.Slot(key(i))
		require.NotNil(t, slot)
		slot.Set(Position{int64(i), int64(i)})
		all = append(all, slot)
	}
	found, err := readSlots(path+".slots", bootID())
	require.NoError(t, err)
	require.Len(t, found, len(all))
	require.Equal(t, Position{1000, 1000}, found[key(1000).hash()])
	for _, slot := range all {
		s.Release(slot)
	}
	found, err = readSlots(path+".slots", bootID())
	require.NoError(t, err)
	require.Empty(t, found)
	chunks := len(s.slots.chunks)
	for i := range all {
		require.NotNil(t, s.Slot(key(i)))
	}
	require.Len(t, s.slots.chunks, chunks)
	(*Slot)(nil).Set(Position{1, 1})
}

func BenchmarkSet(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "db"))
	require.NoError(b, err)
	defer s.Close()
	slot := s.Slot(key(0))
	for i := range b.N {
		slot.Set(Position{int64(i), int64(i)})
	}
}

func TestSlotsOfAnotherVersionAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slots")
	s, err := openSlots(path, bootID())
	require.NoError(t, err)
	s.take(Key{Stream: "s"}).Set(Position{1, 2})
	for version, positions := range map[byte]int{0: 1, slotsVersion: 1, slotsVersion + 1: 0} {
		_, err = s.file.WriteAt([]byte{version}, hashSize)
		require.NoError(t, err)
		found, err := readSlots(path, bootID())
		require.NoError(t, err)
		require.Len(t, found, positions)
	}
	require.NoError(t, s.close())
}

// TestMain runs all tests twice: with slots that are mapped, and with those that are written, as on a file system that copies on
// write.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		mapFile = func(*os.File, int64, int64) ([]byte, error) { return nil, mapped.ErrCopyOnWrite }
		code = m.Run()
	}
	os.Exit(code)
}
