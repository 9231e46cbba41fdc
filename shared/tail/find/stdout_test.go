// SPDX-License-Identifier: Apache-2.0

package find

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Images link log files to their output, nginx's for one. That is told apart from a link that leads to nothing.
func TestLinksToStandardOutput(t *testing.T) {
	dir := t.TempDir()
	for name, target := range map[string]string{"access.log": "/dev/stdout", "error.log": "/dev/stderr", "other.log": "/dev/null"} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	tree := Container(dir, nil, nil).Tree("/")
	defer tree.Release()
	for _, name := range []string{"access.log", "error.log"} {
		_, _, err := tree.Open(name)
		require.ErrorContains(t, err, "declare stdout")
		_, err = tree.Stat(name)
		require.ErrorContains(t, err, "declare stdout")
	}
	_, err := tree.Stat("other.log")
	require.ErrorIs(t, err, os.ErrNotExist)
}
