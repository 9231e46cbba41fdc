// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// sockets are where an engine's containerd may listen: the machine's, the engine's own, that of `hack/engine`.
func sockets() []string {
	return []string{
		filepath.Join(filepath.Dir(socket()), "exec/containerd/containerd.sock"),
		"/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock",
	}
}

// throughContainerd starts a container in the engine's containerd, with remora-logger as its logging binary, and a node
// agent on the machine that delivers what the logger captures. Both take root.
func throughContainerd() error {
	title("3. containerd: a logging binary, and the node agent on the machine that delivers what it captures")
	address, why := containerd()
	if why != "" {
		fmt.Println("  Left out:", why)
		return nil
	}
	dir, err := os.MkdirTemp("", "remora-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	agent, err := startAgent(dir)
	if err != nil {
		return err
	}
	defer agent.stop()
	logger, err := filepath.Abs("bin/remora-logger")
	if err != nil {
		return err
	}
	ctr := func(args ...string) error {
		args = append([]string{"--address", address, "--namespace", namespace}, args...)
		fmt.Println("  $ ctr", strings.Join(args, " "))
		if out, err := exec.Command("ctr", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	archive := filepath.Join(dir, "image.tar")
	if err := docker("save", "--output", archive, writer); err != nil {
		return err
	}
	image := "docker.io/library/" + writer + ":latest"
	if err := ctr("images", "import", archive); err != nil {
		return err
	}
	defer func() {
		_ = ctr("images", "rm", image)
		_ = ctr("namespaces", "rm", namespace)
	}()
	uri := "binary://" + logger + "?spool=" + agent.spool + "&target=pay&tags=team%3Dshop"
	if err := ctr("run", "--rm", "--log-uri", uri, image, prefix+"pay", "/program", "-name", "pay", "-lines", fmt.Sprint(lines),
		"-rate", "500"); err != nil {
		return err
	}
	fmt.Println("\n  What the agent's console output wrote:")
	return arrived("pay", "stdout", func() (string, error) { return of("pay", agent.out.String()), nil })
}

// namespace is the demo's own in containerd.
const namespace = "remora-demo"

// containerd returns where the engine's containerd listens, or why this part is left out.
func containerd() (address, why string) {
	if os.Getuid() != 0 {
		return "", "it takes root"
	}
	if _, err := exec.LookPath("ctr"); err != nil {
		return "", "there is no ctr, containerd's client"
	}
	for _, path := range sockets() {
		if _, err := os.Stat(path); err == nil {
			return path, ""
		}
	}
	return "", "no containerd was found; tried " + strings.Join(sockets(), ", ")
}

// machineAgent is a node agent as a process of the machine.
type machineAgent struct {
	spool   string
	out     *output
	process *exec.Cmd
}

func startAgent(dir string) (*machineAgent, error) {
	a := &machineAgent{spool: filepath.Join(dir, "spool"), out: new(output)}
	a.process = exec.Command("bin/remora-node")
	a.process.Env = []string{
		"REMORA_CONTAINERD_SPOOL=" + a.spool, "REMORA_STATE_DIR=" + filepath.Join(dir, "state"), "REMORA_LOGGER=bin/remora-logger",
		"PILOT_LOG_PREFIX=demo", "LOGGING_OUTPUT=console",
	}
	fmt.Println("  $", strings.Join(append(a.process.Env, "bin/remora-node"), " "), "&")
	a.process.Stdout = a.out
	return a, a.process.Start()
}

func (a *machineAgent) stop() {
	_ = a.process.Process.Signal(os.Interrupt)
	late := time.AfterFunc(20*time.Second, func() { _ = a.process.Process.Kill() })
	defer late.Stop()
	var exit *exec.ExitError
	if err := a.process.Wait(); err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
}

// output keeps what a process writes, and may be read meanwhile.
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
