// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// process is a running collector, which may be killed and started again.
type process struct {
	peer   peer
	bin    string
	place  *place
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts the collector. Its output goes to a file.
func (p *process) start() error {
	cmd, err := p.peer.command(p.bin, p.place)
	if err != nil {
		return err
	}
	said, err := os.OpenFile(p.said(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	// The collector ends with the thread that started it, which is main's, so that none is left to deliver to the next server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.exited = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(p.exited) }()
	return nil
}

func (p *process) said() string { return filepath.Join(p.place.dir, "said") }

// kill ends the collector with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop ends the collector with SIGTERM, or with SIGKILL after ten seconds.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

// ended reports whether the collector has ended by itself.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// loss matches a log line that reports something lost or not accepted. It does not match refused connections, which are retried.
var loss = regexp.MustCompile(`(?i)\b(lost|dropp(ed|ing)|discard(ed|ing)?|gave up|given up|gap|not retryable|cannot be retried|too long|skipped|removed before)\b`)

// told returns the first line of the collector's log that reports a loss; empty if there is none.
func (p *process) told() string {
	f, err := os.Open(p.said())
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		if line := lines.Text(); loss.MatchString(line) {
			return line[:min(len(line), 300)]
		}
	}
	return ""
}
