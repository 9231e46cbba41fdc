// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/spool"
)

// Pipe is the reading end of one of a container's streams.
type Pipe struct {
	FD  int
	Std spool.Std
}

// Pipes captures the streams of one container to a raw log, in the goroutine that calls Run. It neither closes the descriptors
// nor changes their flags: other processes may hold them too.
type Pipes struct {
	// Open opens the log. It is called again until it succeeds; what is read before is counted and discarded, since a
	// container must not wait for a disk.
	Open func() (*spool.Log, error)
	// Pipes are read in turn, which keeps the order of their output as far as it can be known.
	Pipes []Pipe
	// Interval is the pause between two drains, as in Options.
	Interval time.Duration
	// Offer sends the descriptors to a node agent; if it is nil, they are not offered.
	Offer *handover.Offer
	// Sole says that no other process has received the descriptors: this is the process that containerd started.
	Sole bool
	Log  *slog.Logger

	// Tests replace Log.SyncAll and the reopening of a pipe by these.
	syncLog func(*spool.Log) error
	reopen  func(fd int) (int, error)

	log     *spool.Log
	claimed bool
	first   int   // descriptor of the pipe that the claim is on
	locked  error // not nil if another process captures or may capture
	sizes   [2]int
	lost    int64
	lines   int64
	reason  string
	tended  time.Time
	tried   time.Time
	syncing atomic.Bool
	syncs   sync.WaitGroup
	mem     []byte
	poll    [4]unix.PollFd
}

// tendInterval is how often limits are read and the log is synced, and how often opening the log is retried.
const tendInterval = time.Second

// Run captures until every stream has ended, and ends the log. Its error says why not everything is on disk. If another process
// captures or may capture, Run fails with spool.ErrLocked before it reads anything; it may then be called again.
func (p *Pipes) Run() error {
	for len(p.Pipes) > 0 {
		if p.tend(); p.locked != nil {
			return p.locked
		}
		if p.log != nil {
			if pause := p.log.Backpressure(); pause > 0 {
				p.offer() // an agent that appears now must not wait for room in the spool
				time.Sleep(pause)
				continue
			}
		}
		moved, err := p.round()
		if err != nil {
			return errors.Join(err, p.end())
		}
		if moved > 0 && !p.full(moved) {
			time.Sleep(p.pause(moved))
		}
	}
	return p.end()
}

// pause returns how long to let bytes gather after a drain, since each drain wakes a thread.
func (p *Pipes) pause(moved int) time.Duration {
	if moved >= minDrain {
		return p.Interval
	}
	return 2 * p.Interval
}

// full reports whether a writer may be blocked, given how many bytes a round moved.
func (p *Pipes) full(moved int) bool { return moved >= smallPipe/2 }

// round waits up to tendInterval for data, takes a piece from each pipe that has some, and drops the pipes that have ended.
func (p *Pipes) round() (moved int, err error) {
	fds := p.poll[:0]
	for _, one := range p.Pipes {
		fds = append(fds, unix.PollFd{Fd: int32(one.FD), Events: unix.POLLIN})
	}
	timeout := tendInterval
	if p.Offer != nil {
		if p.offer(); p.Offer.FD() >= 0 {
			fds = append(fds, unix.PollFd{Fd: int32(p.Offer.FD()), Events: unix.POLLIN})
		} else {
			timeout = handover.Interval
		}
	}
	if _, err := unix.Poll(fds, int(timeout.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return 0, err
	}
	left := p.Pipes[:0:0]
	for i, one := range p.Pipes {
		n, ended := 0, false
		switch {
		case fds[i].Revents&unix.POLLIN != 0:
			if n, ended, err = p.take(one); err != nil {
				return moved, err
			}
		case fds[i].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0:
			ended = true
		}
		moved += n
		if !ended {
			left = append(left, one)
		}
	}
	p.Pipes = left
	return moved, nil
}

// take moves a piece from a readable pipe to the log, or discards it if there is no log.
func (p *Pipes) take(one Pipe) (n int, ended bool, err error) {
	if p.log == nil {
		return p.discard(one)
	}
	n, err = p.log.TakeFrom(one.FD, one.Std)
	switch {
	case err == nil:
		p.enlarge(one, n)
		return n, false, nil
	case errors.Is(err, io.EOF):
		return 0, true, nil
	case errors.Is(err, spool.ErrEmpty):
		return 0, false, nil
	case errors.Is(err, spool.ErrFull):
		time.Sleep(p.Interval)
		return 0, false, nil
	}
	return 0, false, err
}

// enlarge increases the capacity of a pipe that was half full.
func (p *Pipes) enlarge(one Pipe, n int) {
	size := &p.sizes[one.Std-1]
	if *size == 0 {
		*size = smallPipe
	}
	if n < *size/2 || *size >= largePipe {
		return
	}
	if got, err := unix.FcntlInt(uintptr(one.FD), unix.F_SETPIPE_SZ, largePipe); err == nil {
		*size = got
	} else {
		*size = largePipe // do not try again
	}
}

// discard reads a piece from a pipe, counts it as lost, and drops it.
func (p *Pipes) discard(one Pipe) (n int, ended bool, err error) {
	if p.mem == nil {
		p.mem = make([]byte, smallPipe)
	}
	n, err = unix.Read(one.FD, p.mem)
	switch {
	case n > 0:
		p.lost += int64(n)
		p.lines += int64(bytes.Count(p.mem[:n], []byte{'\n'}))
		return n, false, nil
	case err == nil:
		return 0, true, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, false, nil
	}
	return 0, false, err
}

// tend opens the log if there is none yet. Once a second it applies the log's limits and syncs it.
func (p *Pipes) tend() {
	now := time.Now()
	if p.log == nil {
		if now.Sub(p.tried) < tendInterval {
			return
		}
		p.tried = now
		p.open()
		return
	}
	if now.Sub(p.tended) < tendInterval {
		return
	}
	p.tended = now
	if !p.claimed {
		_ = p.claim() // a sole process whose claim failed before; it may read on without one
	}
	p.log.Tend()
	p.sync()
}

// sync makes durable what was captured. It runs in a goroutine of its own, so that a slow disk does not block the container; at
// most one sync runs at a time.
func (p *Pipes) sync() {
	if !p.syncing.CompareAndSwap(false, true) {
		return
	}
	p.syncs.Go(func() {
		defer p.syncing.Store(false)
		sync := p.syncLog
		if sync == nil {
			sync = (*spool.Log).SyncAll
		}
		if err := sync(p.log); err != nil {
			notice.LoggerNotSynced.Log(p.Log, "error", err)
		}
	})
}

// open claims the pipes and opens the log. Unless it sets p.locked, this process is the only reader of the pipes.
func (p *Pipes) open() {
	if p.locked = p.claim(); p.locked != nil {
		return
	}
	l, err := p.Open()
	if errors.Is(err, spool.ErrLocked) {
		p.locked = err
		return
	}
	if err != nil {
		if p.reason == "" {
			notice.LoggerDiscards.Log(p.Log, "error", err)
		}
		p.reason = "spool could not be opened"
		return
	}
	p.log = l
	if p.lost > 0 {
		if err := l.AddLoss(p.lost, p.lines, p.reason); err != nil {
			notice.LoggerGapNotStored.Log(p.Log, "error", err)
		}
	}
}

// end ends the log. If there is none, it tries once more to open it, and fails with a LostError.
func (p *Pipes) end() error {
	if p.log == nil {
		p.open()
	}
	if p.log == nil {
		return &LostError{Bytes: p.lost, Lines: p.lines}
	}
	p.syncs.Wait()
	return p.log.EndWriter()
}

// Ready tries to open the log now, so that its files exist when Ready returns.
func (p *Pipes) Ready() {
	p.tried = time.Now()
	p.open()
	p.tended = time.Now()
}

// Locked reports whether another process captured, or may have captured, when the log was last to be opened.
func (p *Pipes) Locked() bool { return p.locked != nil }

// Ended reports whether all pipes are empty and have no writer.
func (p *Pipes) Ended() bool {
	for _, one := range p.Pipes {
		fds := []unix.PollFd{{Fd: int32(one.FD), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents&unix.POLLIN != 0 || fds[0].Revents&unix.POLLHUP == 0 {
			return false
		}
	}
	return true
}

// LostError is the error of a Run that could never open the log.
type LostError struct{ Bytes, Lines int64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("the spool could not be opened: %d lines (%d bytes) were discarded", e.Lines, e.Bytes)
}
