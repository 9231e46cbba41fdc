// SPDX-License-Identifier: Apache-2.0

// Package engine drives the Docker engine that a test runs on, through its command line client: what a user types is
// what is tested. A failing command fails the test, with all that the client said.
package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Engine is a Docker engine on this machine.
type Engine struct {
	// host is as in DOCKER_HOST; empty for what the environment says.
	host string
	// log is the file with what dockerd said; empty where it goes to the system's journal.
	log string
	// root is the engine's data root.
	root string
}

// New is the engine that `hack/engine run` has provided. There has to be one; and since the tests look into its data
// root and kill processes of it, it has to be on this machine, and the test root.
func New(t testing.TB) *Engine {
	t.Helper()
	e := &Engine{log: os.Getenv("REMORA_ENGINE_LOG")}
	root, err := e.Try("info", "--format", "{{.DockerRootDir}}")
	if err != nil {
		t.Fatalf("no Docker engine answers; run the tests with `hack/engine run go test …`: %v", err)
	}
	e.root = root
	if _, err := os.ReadDir(filepath.Join(root, "plugins")); err != nil {
		t.Fatalf("these tests look into the engine's data root, as root and on the engine's machine: %v", err)
	}
	return e
}

// Docker runs the client and returns its standard output without the newline at its end.
func (e *Engine) Docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := e.Try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try is Docker for a command that may fail.
func (e *Engine) Try(args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := e.Command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// Command is the client about to be run.
func (e *Engine) Command(args ...string) *exec.Cmd {
	cmd := exec.Command("docker", args...)
	cmd.Env = os.Environ()
	if e.host != "" {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+e.host)
	}
	return cmd
}

// Log is what dockerd, and with it the plugins, has said since since.
func (e *Engine) Log(t testing.TB, since time.Time) string {
	t.Helper()
	if e.log == "" {
		out, err := exec.Command("journalctl", "--unit", "docker.service", "--output", "cat",
			"--since", fmt.Sprintf("@%d", since.Unix())).Output()
		if err != nil {
			t.Fatalf("the plugins' log is neither in REMORA_ENGINE_LOG nor in the system's journal: %v", err)
		}
		return string(out)
	}
	all, err := os.ReadFile(e.log)
	if err != nil {
		t.Fatal(err)
	}
	// A line begins with time="…", in UTC or with an offset.
	lines := strings.SplitAfter(string(all), "\n")
	for i, line := range lines {
		stamp, ok := strings.CutPrefix(line, `time="`)
		stamp, _, closed := strings.Cut(stamp, `"`)
		if !ok || !closed {
			continue
		}
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && !at.Before(since.Truncate(time.Second)) {
			return strings.Join(lines[i:], "")
		}
	}
	return ""
}

// Root is the repository's root.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
			return dir
		}
		if dir == "/" {
			err = errors.New("no config.json in this directory or above it")
			break
		}
	}
	t.Fatalf("the tests have to run inside the repository: %v", err)
	return ""
}

// Eventually asks until done says yes, ten times a second. A test that waits in vain fails with what done says then.
func Eventually(t testing.TB, limit time.Duration, done func() (ok bool, state string)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, state)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Host is where the engine answers, as in DOCKER_HOST.
func (e *Engine) Host() string {
	if e.host != "" {
		return e.host
	}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	return "unix:///var/run/docker.sock"
}
