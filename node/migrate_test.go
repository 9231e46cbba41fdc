// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsTakenOverOfLogPilotIsTold(t *testing.T) {
	dir := t.TempDir()
	told, err := stateOfPilot(dir)
	require.NoError(t, err)
	require.Contains(t, told, "nothing is taken over")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.pos"), nil, 0o600))
	told, err = stateOfPilot(dir)
	require.NoError(t, err)
	require.Contains(t, told, "1 files of fluentd's positions")

	registry := `[{"source":"/host/a","offset":10,"FileStateOS":{"inode":1,"device":2}},{"source":"/host/b","offset":3,"FileStateOS":{"inode":4,"device":2}}]`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "registry"), []byte(registry), 0o600))
	told, err = stateOfPilot(dir)
	require.NoError(t, err)
	require.Contains(t, told, "the positions of 2 files")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "registry"), []byte("secret"), 0o600))
	_, err = stateOfPilot(dir)
	require.Error(t, err)
	_, err = stateOfPilot(filepath.Join(dir, "absent"))
	require.Error(t, err)
}
