// SPDX-License-Identifier: Apache-2.0

// Package sidecar holds the proofs of the sidecar as a process: the binary that `make build` leaves, files that a test
// writes, and a backend that remembers what it took.
package sidecar

import (
	"bytes"
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

	"github.com/remora-logs/remora/integration/engine"
)

// pod is what a sidecar has around it: a directory of logs and one for its state, and its settings.
type pod struct {
	logs, state string
	env         []string
}

// newPod declares all files *.log of the directory of logs under the name "app".
func newPod(t *testing.T, settings ...string) *pod {
	t.Helper()
	p := &pod{logs: t.TempDir(), state: t.TempDir()}
	p.env = append([]string{
		"aliyun_logs_app=" + p.logs + "/*.log", "REMORA_STATE_DIR=" + p.state,
	}, settings...)
	return p
}

// process is a running sidecar.
type process struct {
	cmd         *exec.Cmd
	out, errors *output
}

// output keeps what a process writes, and may be looked at meanwhile.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// start runs the sidecar with nothing in its environment but the pod's. The test's end kills it.
func (p *pod) start(t *testing.T, args ...string) *process {
	t.Helper()
	s := &process{cmd: exec.Command(binary(t, "remora-sidecar"), args...), out: new(output), errors: new(output)}
	s.cmd.Env = p.env
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.errors
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("what the sidecar said:\n%.4000s", s.errors)
		}
	})
	return s
}

// kill ends it with SIGKILL.
func (s *process) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// terminate ends it with SIGTERM and returns its exit code.
func (s *process) terminate(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return s.wait(t, 40*time.Second)
}

// wait waits until it has ended and returns its exit code.
func (s *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	late := time.AfterFunc(limit, func() { s.cmd.Process.Kill() })
	err := s.cmd.Wait()
	if !late.Stop() {
		t.Fatalf("the sidecar has not ended within %v", limit)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// says waits until the sidecar has logged a line that holds all the words.
func (s *process) says(t *testing.T, words ...string) {
	t.Helper()
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		for line := range strings.Lines(s.errors.String()) {
			missing := 0
			for _, w := range words {
				if !strings.Contains(line, w) {
					missing++
				}
			}
			if missing == 0 {
				return true, ""
			}
		}
		return false, fmt.Sprintf("no line with %q in:\n%s", words, s.errors)
	})
}

// binary is the path of a program: in bin, or in the directory of REMORA_TEST_BIN, where those for another machine may be.
func binary(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("REMORA_TEST_BIN"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(engine.Root(t), "bin", name)
}

// writer writes numbered lines to a file of the pod, as the generator does.
func (p *pod) writer(t *testing.T, file, name string, lines, rate, rotate int) *exec.Cmd {
	t.Helper()
	generator.Do(func() { generatorPath, generatorErr = buildGenerator() })
	if generatorErr != nil {
		t.Fatal(generatorErr)
	}
	cmd := exec.Command(generatorPath, "-file", filepath.Join(p.logs, file), "-name", name, "-lines", fmt.Sprint(lines),
		"-rate", fmt.Sprint(rate), "-rotate", fmt.Sprint(rotate), "-size", "100")
	cmd.Stderr = os.Stderr
	engine.Start(t, cmd)
	return cmd
}

var (
	generator     sync.Once
	generatorPath string
	generatorErr  error
)

func buildGenerator() (string, error) {
	dir, err := os.MkdirTemp("", "remora-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "generator")
	if out, err := exec.Command("go", "build", "-o", path, "../generator").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the generator: %w: %s", err, out)
	}
	return path, nil
}

// TestMain removes the generator's binary in the end.
func TestMain(m *testing.M) {
	code := m.Run()
	if generatorPath != "" {
		os.RemoveAll(filepath.Dir(generatorPath))
	}
	os.Exit(code)
}

// put writes text to a file of the pod.
func (p *pod) put(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(p.logs, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// awaitOut waits until the sidecar has written text to its standard output.
func (s *process) awaitOut(t *testing.T, text string) {
	t.Helper()
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		out := s.out.String()
		return strings.Contains(out, text), fmt.Sprintf("%q is not in standard output: %.1000s", text, out)
	})
}
