// SPDX-License-Identifier: Apache-2.0

// Package node holds the proofs of the node agent on a real Docker engine: containers of the generator, the binary that
// `make build` leaves as a process of the machine, and its file output as the backend.
package node

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// agent is a node agent and what it has around it.
type agent struct {
	state, out string
	env        []string
	process    *exec.Cmd
	said       *said
}

// said keeps what a process writes, and may be looked at meanwhile.
type said struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// newAgent starts an agent for the engine's containers.
func newAgent(t *testing.T, e *engine.Engine, settings ...string) *agent {
	t.Helper()
	state, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	a := &agent{state: state, out: t.TempDir(), said: new(said)}
	a.env = append([]string{"REMORA_STATE_DIR=" + state, "LOGGING_OUTPUT=file", "FILE_PATH=" + a.out, "FILE_ROTATE_SIZE=1048576",
		"REMORA_RUNTIME=docker", "REMORA_HOST_ROOT=/", "DOCKER_HOST=" + e.Host()}, settings...)
	a.start(t)
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			t.Logf("what the agent said:\n%.6000s", a.said)
		}
	})
	return a
}

func (a *agent) start(t *testing.T) {
	t.Helper()
	a.process = exec.Command(filepath.Join(engine.Root(t), "bin", "remora-node"))
	a.process.Env, a.process.Stdout, a.process.Stderr = a.env, a.said, a.said
	if err := a.process.Start(); err != nil {
		t.Fatalf("%v; make build makes it", err)
	}
}

// kill ends it with SIGKILL.
func (a *agent) kill() {
	_ = a.process.Process.Kill()
	_ = a.process.Wait()
}

// stop ends it with SIGTERM.
func (a *agent) stop(t *testing.T) {
	t.Helper()
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := a.process.Wait(); err != nil {
		t.Fatal(err)
	}
}

// command runs a subcommand of the agent's in its environment.
func (a *agent) command(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(engine.Root(t), "bin", "remora-node"), args...)
	cmd.Env = a.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("remora-node %v: %v: %s", args, err, out)
	}
	return string(out)
}

// follow opens what arrives for a target.
func (a *agent) follow(target string) *verify.Log {
	return verify.Open(filepath.Join(a.out, target+".log"))
}

const soon = 30 * time.Second
