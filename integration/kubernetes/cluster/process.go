// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a server of the cluster. What it says goes to a file beside the cluster's other data.
type process struct {
	name, log string
	cmd       *exec.Cmd
	ended     chan struct{}
}

// launch starts a server.
func (c *Cluster) launch(path string, args ...string) error {
	name := filepath.Base(path)
	p := &process{name: name, log: c.path(name + ".log"), cmd: exec.Command(path, args...), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A signal from the terminal is the test's to handle: it stops the servers in their order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Dir, p.cmd.Env = c.dir, c.environ()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // that it has ended is all that counts, for it never should by itself
		close(p.ended)
	}()
	c.processes = append(c.processes, p)
	return nil
}

// environ is all that the cluster's programs have of an environment: a proxy of the machine's, for one, is not for them.
func (c *Cluster) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + c.dir}
}

// stop ends the server, with SIGKILL when SIGTERM has not done it within ten seconds.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// last is the end of what the server said.
func (p *process) last() string {
	all, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	return p.name + " said at last:\n" + strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// await asks until ask has no error, and gives up when a server or ctx has ended or the limit is over.
func (c *Cluster) await(ctx context.Context, what string, limit time.Duration, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if err := c.Alive(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v: %w", what, limit, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Alive is an error where a server has ended, with the last that it said.
func (c *Cluster) Alive() error {
	for _, p := range c.processes {
		select {
		case <-p.ended:
			return errors.New(p.name + " has ended; " + p.last())
		default:
		}
	}
	return nil
}
