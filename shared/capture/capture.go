// SPDX-License-Identifier: Apache-2.0

// Package capture moves a container's output from a pipe to a log of the spool.
package capture

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/spool"
)

const (
	// minDrain is the number of bytes that a drain must move for the next one to follow after one interval. After smaller
	// drains the pause doubles, up to maxIdleFactor intervals: with the default interval, a container that writes a line now
	// and then causes at most fifty wake-ups a second, not one a line.
	minDrain      = 16 << 10
	maxIdleFactor = 10
	// finalDrain bounds the last drain of a pipe whose writer keeps writing.
	finalDrain = 4 * time.Second
)

// Options configure a Capture.
type Options struct {
	// Interval is the pause between two drains of a busy pipe: long enough for bytes to gather, since each drain wakes a
	// thread, and short enough to go unnoticed.
	Interval time.Duration
	// Resumed is set if the FIFO was captured before. If it then has no writer, its writer is gone. A new FIFO without a writer
	// may merely have been opened before the engine opened it.
	Resumed bool
	// OrphanReason is the reason of the gap of unknown size that is added to the log if a resumed FIFO has no writer: the kernel
	// discards the content of a FIFO that no process has open. If it is empty, no gap is added.
	OrphanReason string
	// WriterGone is called from the capture's goroutine, after the log was finished, if the writer went away without Stop: the
	// engine died, or the FIFO outlived a reboot.
	WriterGone func()
	Log        *slog.Logger
}

// Capture moves one pipe to one log, in a goroutine of its own. It depends on no output and takes no lock that delivery
// takes. It is idle while nothing is written, and has no buffer.
type Capture struct {
	fifo  *fifo
	log   *spool.Log
	opt   Options
	pause time.Duration // after the last drain

	once   sync.Once
	quit   chan struct{}
	finish bool // set before quit is closed: the stream ends
	done   chan struct{}
}

// Start opens the FIFO at path and begins to capture.
func Start(path string, l *spool.Log, o Options) (*Capture, error) {
	f, err := openFIFO(path)
	if err != nil {
		return nil, err
	}
	return start(f, l, o), nil
}

func start(f *fifo, l *spool.Log, o Options) *Capture {
	f.writerSeen = o.Resumed
	c := &Capture{fifo: f, log: l, opt: o, pause: o.Interval, quit: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

// Stop drains the FIFO to its end and finishes the log. It returns when that is done or ctx ends; draining then continues in
// the background.
func (c *Capture) Stop(ctx context.Context) error { return c.stop(ctx, true) }

// Suspend drains what is in the FIFO now and stops without finishing the log, so that a later process can resume. What the
// writer writes meanwhile waits in the FIFO.
func (c *Capture) Suspend(ctx context.Context) error { return c.stop(ctx, false) }

func (c *Capture) stop(ctx context.Context, finish bool) error {
	c.once.Do(func() {
		c.finish = finish
		close(c.quit)
		c.fifo.interrupt()
	})
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Capture) run() {
	defer close(c.done)
	defer c.fifo.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pause time.Duration
	for c.wait(timer, pause) {
		if pause = c.log.Backpressure(); pause > 0 {
			continue
		}
		n, err := c.fifo.drainOrWait(c.log)
		switch {
		case err == nil:
			pause = c.pauseAfter(n)
		case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			pause = c.opt.Interval
		default:
			c.writerGone(err)
			return
		}
	}
	c.end()
}

// wait pauses, and reports whether to continue.
func (c *Capture) wait(timer *time.Timer, pause time.Duration) bool {
	if pause <= 0 {
		select {
		case <-c.quit:
			return false
		default:
			return true
		}
	}
	timer.Reset(pause)
	select {
	case <-c.quit:
		return false
	case <-timer.C:
		return true
	}
}

// pauseAfter returns the pause after a drain that moved n bytes: none if the writer may be blocked, the interval after at least
// minDrain bytes, and otherwise twice the last pause, up to maxIdleFactor intervals.
func (c *Capture) pauseAfter(n int) time.Duration {
	switch {
	case c.fifo.nearlyFull(n):
		c.pause = c.opt.Interval
		return 0
	case n >= minDrain:
		c.pause = c.opt.Interval
	default:
		c.pause = min(2*c.pause, maxIdleFactor*c.opt.Interval)
	}
	return c.pause
}

// end drains what is left in the FIFO, for at most finalDrain, and finishes the log if the stream ends.
func (c *Capture) end() {
	for until := time.Now().Add(finalDrain); time.Now().Before(until); {
		_, err := c.fifo.drain(c.log)
		if errors.Is(err, spool.ErrFull) {
			time.Sleep(c.opt.Interval)
		} else if err != nil {
			break
		}
	}
	if c.finish {
		c.log.Finish()
	}
}

// writerGone ends a stream whose writer went away or whose FIFO cannot be read. It removes the FIFO, as the engine does when it
// stops logging.
func (c *Capture) writerGone(err error) {
	if !errors.Is(err, io.EOF) {
		notice.FIFOUnreadable.Log(c.opt.Log, slog.String("fifo", c.fifo.path), slog.Any("error", err))
	}
	if c.opt.Resumed && !c.fifo.writerMet && c.opt.OrphanReason != "" {
		c.log.AddUnknownGap(c.opt.OrphanReason)
	}
	c.log.Finish()
	os.Remove(c.fifo.path)
	if c.opt.WriterGone != nil {
		c.opt.WriterGone()
	}
}
