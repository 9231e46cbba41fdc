// SPDX-License-Identifier: Apache-2.0

package mapped

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What is in the file stays, the rest is allocated, and what is written to memory is in the file.
func TestMap(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("kept")
	require.NoError(t, err)
	page := int64(os.Getpagesize())
	mem, err := Map(f, 0, 2*page)
	require.NoError(t, err)
	require.Equal(t, "kept", string(mem[:4]))
	mem[page] = 'x'
	require.NoError(t, unix.Munmap(mem))
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(f.Fd()), &st))
	require.Equal(t, 2*page, st.Size)
	require.GreaterOrEqual(t, st.Blocks*512, 2*page)
	var b [1]byte
	_, err = f.ReadAt(b[:], page)
	require.NoError(t, err)
	require.Equal(t, "x", string(b[:]))
}

func TestCopyOnWriteIsNotMapped(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	var fs unix.Statfs_t
	require.NoError(t, unix.Fstatfs(int(f.Fd()), &fs))
	copyOnWrite[int64(fs.Type)] = true
	defer delete(copyOnWrite, int64(fs.Type))
	_, err = Map(f, 0, int64(os.Getpagesize()))
	require.ErrorIs(t, err, ErrCopyOnWrite)
}
