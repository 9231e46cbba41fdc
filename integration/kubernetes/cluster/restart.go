// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"
)

// Kill ends a server with SIGKILL, keeps it down for a while, and starts it again.
func (c *Cluster) Kill(ctx context.Context, server string, down time.Duration) error {
	i := slices.IndexFunc(c.processes, func(p *process) bool { return p.name == server })
	if i < 0 {
		return fmt.Errorf("no server is called %s", server)
	}
	p := c.processes[i]
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", server, err)
	}
	<-p.ended
	time.Sleep(down)
	if err := c.launch(p.cmd.Path, p.cmd.Args[1:]...); err != nil {
		return err
	}
	last := len(c.processes) - 1
	c.processes[i], c.processes = c.processes[last], c.processes[:last]
	return c.await(ctx, server, time.Minute, func() error {
		_, err := output(c.ctr("version"))
		return err
	})
}

var logSize = regexp.MustCompile(`(?m)^containerLogMaxSize: .*$`)

// LogSize makes the kubelet rotate output at another size, as soon as it can, and starts it again.
func (c *Cluster) LogSize(ctx context.Context, size string) error {
	config := c.path("kubelet.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	text = logSize.ReplaceAll(text, []byte("containerLogMaxSize: "+size))
	if !regexp.MustCompile(`(?m)^containerLogMonitorInterval:`).Match(text) {
		text = append(text, "containerLogMonitorInterval: 3s\n"...) // the least that is allowed
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	return c.Kill(ctx, "kubelet", 0)
}
