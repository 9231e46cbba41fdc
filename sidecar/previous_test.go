// SPDX-License-Identifier: Apache-2.0

//go:build previous

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// previous is the sidecar of the previous release; hack/previous-state builds it.
var previous = flag.String("previous", "", "sidecar of the previous release")

// An upgrade, and back to the previous release: each line is delivered once.
func TestThereAndBack(t *testing.T) {
	dir := t.TempDir()
	log, out := filepath.Join(dir, "a.log"), filepath.Join(dir, "out", "app.log")
	lines := 0
	for _, program := range []string{*previous, os.Args[0], *previous, os.Args[0]} {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		require.NoError(t, err)
		for range 50 {
			_, err := fmt.Fprintf(f, "line %d\n", lines)
			require.NoError(t, err)
			lines++
		}
		require.NoError(t, f.Close())
		cmd := exec.Command(program)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.Env = []string{runMain + "=1", "LOGGING_OUTPUT=file", "FILE_PATH=" + filepath.Join(dir, "out"), "REMORA_STATE_DIR=" + filepath.Join(dir, "state"),
			"aliyun_logs_app=" + log, "aliyun_logs_app_target=app"}
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(out)
			return err == nil && bytes.Count(text, []byte("\n")) >= lines
		}, 15*time.Second, 10*time.Millisecond, "%s", &said)
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), "%s", &said)
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, lines, bytes.Count(text, []byte("\n")), "each line once: %s", &said)
	}
}
