// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/telemetry"
)

const (
	// drainSocket is the socket for the drain command, in the state directory. Only the sidecar's user may connect to it.
	drainSocket = "drain.sock"
	// drainPollInterval is how often drain checks for completion.
	drainPollInterval = 20 * time.Millisecond
	// maxNamed is how many files an incomplete drain names.
	maxNamed = 5
	// nothingLeft begins the answer of a drain that is complete.
	nothingLeft = "nothing is left"
)

// drain reads every file up to its present end, including an unterminated last line, and waits up to timeout until all of
// it is acknowledged. What a running application writes meanwhile is left to the next start. The error names in one line what
// was not delivered or could not be read.
func (c *sidecar) drain(timeout time.Duration) error {
	c.draining.Lock()
	defer c.draining.Unlock()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := c.tailer.Drain(ctx); err != nil {
		return command.WithCode(fmt.Errorf("not delivered within REMORA_DRAIN_TIMEOUT (%v): %w; the next start resumes there", timeout, err),
			command.ExitLeft)
	}
	poll := time.NewTicker(drainPollInterval)
	defer poll.Stop()
	for {
		files, bytes := c.tailer.Left()
		if files == 0 {
			break
		}
		if time.Since(began) >= timeout {
			return command.WithCode(fmt.Errorf("not delivered within REMORA_DRAIN_TIMEOUT (%v): %s; the next start resumes there",
				timeout, describe(files, bytes, c.unfinished())), command.ExitLeft)
		}
		<-poll.C
	}
	if unread := c.unreadable(); len(unread) > 0 {
		return command.WithCode(fmt.Errorf("could not be read: %s", describe(len(unread), 0, unread)), command.ExitLeft)
	}
	c.log.Info("drained: nothing is left", "after", time.Since(began).Round(time.Millisecond))
	return nil
}

// remainder is a file that was not delivered completely, or, if err is set, could not be opened.
type remainder struct {
	path  string
	bytes int64
	err   error
}

// unfinished returns some of the files that are not delivered.
func (c *sidecar) unfinished() (left []remainder) {
	for _, u := range c.tailer.Unfinished() {
		left = append(left, remainder{path: u.Path, bytes: u.Bytes})
	}
	return left
}

// unreadable returns the declared files that cannot be opened.
func (c *sidecar) unreadable() (left []remainder) {
	for _, t := range c.tailer.Problems() {
		info, err := os.Lstat(t.Path)
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			continue // gone, or of a kind that is never read
		}
		f, err := os.Open(t.Path)
		if err != nil {
			left = append(left, remainder{path: t.Path, err: err})
			continue
		}
		_ = f.Close() // nothing was written
	}
	return left
}

// describe returns in one line the number of bytes and files, and the names of up to maxNamed files.
func describe(files int, bytes int64, some []remainder) string {
	var names []string
	for _, r := range some[:min(len(some), maxNamed)] {
		if r.err != nil {
			names = append(names, escape.Text(r.err.Error()))
		} else {
			names = append(names, fmt.Sprintf("%s (%d bytes)", escape.Word(r.path), r.bytes))
		}
	}
	if more := files - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d bytes of %d files: %s", bytes, files, strings.Join(names, ", "))
}

// serveDrain answers the drain command; after each drain the sidecar follows its files again. It returns nil if it cannot
// listen.
func (c *sidecar) serveDrain() net.Listener {
	path := filepath.Join(c.settings.StateDir, drainSocket)
	_ = os.Remove(path) // left by a killed process: the state directory's lock excludes a running one
	l, err := (&net.ListenConfig{Control: telemetry.OwnerOnly}).Listen(context.Background(), "unix", path)
	if err != nil {
		notice.DrainNotServed.Log(c.log, "error", err)
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
	_, _ = fmt.Fprintln(conn, answer) // the client may be gone
}

// askDrain asks the running sidecar to drain, and waits.
func askDrain(stateDir string, timeout time.Duration, w io.Writer) error {
	conn, err := net.Dial("unix", filepath.Join(stateDir, drainSocket))
	if err != nil {
		return fmt.Errorf("no running sidecar reachable: %w", err)
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
