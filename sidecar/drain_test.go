// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
)

// runMain makes the test binary the sidecar itself.
const runMain = "REMORA_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		_ = os.Unsetenv(runMain)
		main()
		return
	}
	os.Exit(m.Run())
}

// A sidecar that is restarted alone ends while its application writes on.
func TestDrainEndsWithWhatWasThere(t *testing.T) {
	p := newPod(t)
	p.environ["REMORA_DRAIN_TIMEOUT"] = "20s"
	p.write("a.log", "first\n")
	stop := p.run()
	awaitSocket(t, filepath.Join(p.environ["REMORA_STATE_DIR"], drainSocket))
	writing, stopWriting := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	written := make(chan struct{})
	writer.Go(func() {
		f, err := os.OpenFile(filepath.Join(p.logs, "a.log"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for n := 0; writing.Err() == nil; n++ {
			if _, err := fmt.Fprintf(f, "line %d\n", n); err != nil {
				t.Error(err)
			}
			if n == 100 {
				close(written)
			}
		}
	})
	<-written
	began := time.Now()
	err := stop()
	took := time.Since(began)
	stopWriting()
	writer.Wait()
	require.NoError(t, err)
	require.Less(t, took, 10*time.Second)
	require.Contains(t, p.messages(), "line 100")
}

// What can't be read is not delivered, and the exit code says so. Root reads everything, so the sidecar runs as nobody.
func TestUnreadableFileIsLeft(t *testing.T) {
	p := newPod(t)
	p.write("open.log", "one\n")
	p.write("secret.log", "two\n")
	dir := t.TempDir()
	binary := filepath.Join(dir, "sidecar")
	copyFile(t, os.Args[0], binary)
	for at := range strings.SplitSeq(strings.Join([]string{p.logs, p.out, p.environ["REMORA_STATE_DIR"], dir}, "\n"), "\n") {
		require.NoError(t, os.Chmod(at, 0o777))
		require.NoError(t, os.Chmod(filepath.Dir(at), 0o777|os.ModeSticky))
	}
	require.NoError(t, os.Chmod(filepath.Join(p.logs, "secret.log"), 0))
	sidecar := exec.Command(binary)
	sidecar.Env = []string{runMain + "=1", "GORACE=" + os.Getenv("GORACE")}
	for k, v := range p.environ {
		sidecar.Env = append(sidecar.Env, k+"="+v)
	}
	var said strings.Builder
	sidecar.Stderr = &said
	if os.Getuid() == 0 {
		sidecar.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	require.NoError(t, sidecar.Start())
	awaitSocket(t, filepath.Join(p.environ["REMORA_STATE_DIR"], drainSocket))
	require.NoError(t, sidecar.Process.Signal(syscall.SIGTERM))
	err := sidecar.Wait()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", said.String())
	require.Equal(t, command.ExitLeft, exit.ExitCode(), said.String())
	require.Contains(t, said.String(), "could not be read: 0 bytes of 1 files: open "+filepath.Join(p.logs, "secret.log")+": permission denied")
	require.Equal(t, []string{"one"}, p.messages())
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, errors.Join(err, out.Close()))
}

func TestWhatIsLeftIsNamedInOneLine(t *testing.T) {
	var left []remainder
	for i := range 7 {
		left = append(left, remainder{path: fmt.Sprintf("/l/\x1b%d\n.log", i), bytes: 10})
	}
	text := describe(7, 70, left)
	require.Equal(t, `70 bytes of 7 files: "/l/\x1b0\n.log" (10 bytes), "/l/\x1b1\n.log" (10 bytes), "/l/\x1b2\n.log" (10 bytes), `+
		`"/l/\x1b3\n.log" (10 bytes), "/l/\x1b4\n.log" (10 bytes), and 2 more`, text)
}
