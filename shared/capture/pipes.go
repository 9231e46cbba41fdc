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

// Pipe is the reading end of a container's stream.
type Pipe struct {
	FD  int
	Std spool.Std
}

// Pipes captures the streams of one container to a raw log, in the goroutine that calls Run: a process that does nothing
// else needs no other. The descriptors stay open, and stay as they are: other processes may hold them too.
type Pipes struct {
	// Open opens the log, as soon as that is possible: what is read before is counted and discarded, since a container
	// must not wait for a disk.
	Open func() (*spool.Log, error)
	// Pipes are read in turn, so that the order in which they were written to is kept as well as can be known.
	Pipes []Pipe
	// Interval is the pause between two drains, as in Options.
	Interval time.Duration
	// Offer gives the descriptors to a node agent; nil offers them to nobody.
	Offer *handover.Offer
	// Sole says that no other process has had the descriptors: the one that containerd started.
	Sole bool
	Log  *slog.Logger

	// What tests put in the place of Log.SyncAll and of opening a pipe again.
	syncLog func(*spool.Log) error
	reopen  func(fd int) (int, error)

	log     *spool.Log
	claimed bool
	first   int   // descriptor that the claim is on
	locked  error // another process captures
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

// tendInterval is how often limits are read and the log is synced, and how often a log that can't be opened is tried.
const tendInterval = time.Second

// Run captures until every stream has ended, and ends the log. Its error is why not everything is on disk. It fails with
// spool.ErrLocked, and has taken nothing since, if another process captures or may do so; Run may then be called again.
func (p *Pipes) Run() error {
	for len(p.Pipes) > 0 {
		if p.tend(); p.locked != nil {
			return p.locked
		}
		if p.log != nil {
			if pause := p.log.Backpressure(); pause > 0 {
				p.offer() // an agent that appears now must not have to wait for room in the spool
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

// pause lets bytes gather: each drain wakes a thread.
func (p *Pipes) pause(moved int) time.Duration {
	if moved >= minDrain {
		return p.Interval
	}
	return 2 * p.Interval
}

// full reports whether so much came that a writer may be waiting.
func (p *Pipes) full(moved int) bool { return moved >= smallPipe/2 }

// round waits until there is something in a pipe, and takes it from each that has something.
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

// take takes a piece from a pipe that has something.
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

// enlarge gives a pipe that was half full more room.
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
		*size = largePipe // not to be tried again
	}
}

// discard takes a piece from a pipe while there is no log.
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

// tend opens the log where there is none yet, and looks after it once a second.
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
		_ = p.claim() // a sole process that could not know; there is no harm in reading on without it
	}
	p.log.Tend()
	p.sync()
}

// sync makes durable what was captured, in a goroutine of its own: a disk that takes seconds for that must not make the
// container wait. While one sync has not returned there is no other.
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

// open opens the log. Unless it fails with spool.ErrLocked this process alone reads the pipes.
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

// end ends the log.
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

// Ready opens the log now, if that is possible, so that whoever waits for its files knows them there.
func (p *Pipes) Ready() {
	p.tried = time.Now()
	p.open()
	p.tended = time.Now()
}

// Locked reports whether another process captured when the log was to be opened last, or may have done so.
func (p *Pipes) Locked() bool { return p.locked != nil }

// Ended reports whether nothing is in the pipes, and nobody writes to them any more.
func (p *Pipes) Ended() bool {
	for _, one := range p.Pipes {
		fds := []unix.PollFd{{Fd: int32(one.FD), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents&unix.POLLIN != 0 || fds[0].Revents&unix.POLLHUP == 0 {
			return false
		}
	}
	return true
}

// LostError is the error of a Run that never had a log.
type LostError struct{ Bytes, Lines int64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("the spool could not be opened: %d lines (%d bytes) were discarded", e.Lines, e.Bytes)
}
