// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/command"
)

// drainSocket is where the sidecar listens for the drain command, in the state directory: who may write there may ask.
const drainSocket = "drain.sock"

// drainLook is how often it is looked whether all is delivered.
const drainLook = 20 * time.Millisecond

// nothingLeft begins the answer of a drain that is complete.
const nothingLeft = "nothing is left"

// drain reads every file to its end, an unterminated last line included, and waits for all of it to be acknowledged, up
// to timeout. Its error says in one line what is left.
func (c *sidecar) drain(timeout time.Duration) error {
	c.draining.Lock()
	defer c.draining.Unlock()
	began := time.Now()
	c.tailer.Drain()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for {
		files, bytes := c.tailer.Left()
		if files == 0 {
			c.log.Info("drained: nothing is left", "after", time.Since(began).Round(time.Millisecond))
			return nil
		}
		if time.Since(began) >= timeout {
			return command.WithCode(fmt.Errorf("not delivered within REMORA_DRAIN_TIMEOUT (%v): %d bytes of %d files; the next start goes on with them",
				timeout, bytes, files), command.ExitLeft)
		}
		<-look.C
	}
}

// serveDrain answers the drain command. The sidecar follows its files as before when it has drained, until SIGTERM.
func (c *sidecar) serveDrain() net.Listener {
	path := filepath.Join(c.settings.StateDir, drainSocket)
	_ = os.Remove(path) // left by a process that was killed: the checkpoints' lock says that there is no other
	l, err := net.Listen("unix", path)
	if err != nil {
		c.log.Warn("the drain command won't work; SIGTERM does", "error", err)
		return nil
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go c.answerDrain(conn)
		}
	}()
	return l
}

func (c *sidecar) answerDrain(conn net.Conn) {
	defer conn.Close()
	answer := nothingLeft
	if err := c.drain(c.settings.DrainTimeout); err != nil {
		answer = err.Error()
	}
	c.tailer.Resume()
	_, _ = fmt.Fprintln(conn, answer) // whoever asked may be gone
}

// askDrain asks the running sidecar to drain, and waits.
func askDrain(stateDir string, timeout time.Duration, w io.Writer) error {
	conn, err := net.Dial("unix", filepath.Join(stateDir, drainSocket))
	if err != nil {
		return fmt.Errorf("no running sidecar answers: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout + 5*time.Second)); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("the sidecar does not answer: %w", err)
	}
	text := strings.TrimSpace(string(answer))
	if !strings.HasPrefix(text, nothingLeft) {
		return command.WithCode(errors.New(text), command.ExitLeft)
	}
	_, err = fmt.Fprintln(w, text)
	return err
}
