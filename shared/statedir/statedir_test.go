// SPDX-License-Identifier: Apache-2.0

package statedir_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/statedir"
)

const holdDir = "REMORA_TEST_HOLD_DIR"

// TestMain makes the test binary a process that holds the directory until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		if _, err := statedir.Acquire(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		select {}
	}
	os.Exit(m.Run())
}

func TestASecondProcessIsToldOfTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first := exec.Command(os.Args[0])
	first.Env = append(os.Environ(), holdDir+"="+dir)
	out, err := first.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, first.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)

	_, err = statedir.Acquire(dir)
	require.EqualError(t, err, fmt.Sprintf("%s is in use by process %d", dir, first.Process.Pid))
	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	lock, err := statedir.Acquire(dir)
	require.NoError(t, err, "the lock outlived its process")
	require.NoError(t, lock.Release())
}

func TestRubbishInTheLockFile(t *testing.T) {
	dir := t.TempDir()
	lock, err := statedir.Acquire(dir)
	require.NoError(t, err)
	for _, content := range []string{"", "-7\n", "a very long line that is no number at all\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "lock"), []byte(content), 0o600))
		_, err = statedir.Acquire(dir)
		require.EqualError(t, err, dir+" is in use by another process")
	}
	require.NoError(t, lock.Release())
	again, err := statedir.Acquire(dir)
	require.NoError(t, err)
	require.NoError(t, again.Release())
}
