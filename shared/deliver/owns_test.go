// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What Remora says of itself may be redirected to a file that a pattern covers.
func TestOurOwnLogIsRecognised(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "remora.log"))
	require.NoError(t, err)
	defer file.Close()
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(file.Fd()), &st))
	require.False(t, isOpenAs(2, st.Dev, st.Ino))
	require.True(t, isOpenAs(int(file.Fd()), st.Dev, st.Ino))
	require.False(t, isOpenAs(int(file.Fd()), 0, 0))
	require.False(t, isOpenAs(99999, st.Dev, st.Ino))
}
