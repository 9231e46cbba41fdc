// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The errors of Take besides io.EOF.
var (
	// ErrEmpty means that the pipe is empty now, and a process still has it open for writing.
	ErrEmpty = errors.New("pipe is empty")
	// ErrClosed means that the spool is closed. What is in the pipe waits there for the next process.
	ErrClosed = errors.New("spool is closed")
	// ErrFull means that nothing was taken because the disk is full, or no descriptor is left, and that maintenance may
	// still make room. The caller calls Take again after a millisecond or two.
	ErrFull = errors.New("disk is full")
)

const (
	// maxWait bounds how long capture waits for maintenance to make room on the disk. waitPause is how long it waits at a time.
	maxWait   = 50 * time.Millisecond
	waitPause = time.Millisecond
	// maxDescriptorWait bounds how long capture waits for a descriptor: less than the ten seconds that the engine waits for a
	// container's last lines (moby container/monitor.go, loggerCloseTimeout).
	maxDescriptorWait = 8 * time.Second
	// alwaysAllowed is the disk space that the spool may use even if less than MinFree is free: enough for what is in flight to
	// a backend that works, so that a disk that others have filled does not stop all collection.
	alwaysAllowed = 16 << 20
)

// Take moves a piece of what is in the pipe to the end of the log, and returns how many bytes left the pipe. It never waits. If
// it returns ErrEmpty, ErrFull, or io.EOF, which means that no process has the pipe open for writing, it has taken nothing. If
// the disk takes no more, Take empties the pipe nevertheless, counts what it discards, and retries the disk from time to time.
//
// splice(2) leaves in the pipe what it did not write, so nothing is lost if the process is killed during the call. Take must not
// be called concurrently.
func (l *Log) Take(pipe int) (int, error) { return l.TakeFrom(pipe, Stdout) }

// TakeFrom is Take for a raw log. The pipe is that of the container's stream std and must not be empty.
func (l *Log) TakeFrom(pipe int, std Std) (int, error) {
	if l.spool.closed.Load() {
		return 0, ErrClosed
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if l.discarding == nil {
		err := l.refusal()
		if err == nil {
			var n int
			if n, err = l.store(pipe, std); err == nil || err == ErrEmpty || err == io.EOF {
				l.diskFullSince = time.Time{}
				return n, err
			}
			if l.mayWait(err) {
				return 0, ErrFull
			}
		}
		l.startDiscarding(err)
	}
	return l.discard(pipe)
}

// mayWait reports whether err means that the disk is full, or that no descriptor is left, and maintenance still has time to make
// room.
func (l *Log) mayWait(err error) bool {
	wait := maxWait
	if outOfDescriptors(err) {
		l.spool.noteOpenError(err)
		wait = maxDescriptorWait
	} else if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return false
	}
	l.spool.wake()
	now := l.spool.now()
	if l.diskFullSince.IsZero() {
		l.diskFullSince = now
	}
	return now.Sub(l.diskFullSince) < wait
}

// Backpressure returns how long capture must leave the pipe alone because a budget is exceeded, usually 0. A caller that must
// not wait, because the stream ends, may call Take nevertheless.
func (l *Log) Backpressure() time.Duration {
	soft, hard := l.overBudget()
	if soft > 0 {
		l.spool.wake()
	}
	l.rearmBlock(soft)
	if hard <= 0 || l.discarding != nil {
		if !l.overBudgetSince.IsZero() {
			l.overBudgetSince, l.graceExpired = time.Time{}, false
			l.heldUp.Store(0)
		}
		return 0
	}
	now := l.spool.now()
	if l.overBudgetSince.IsZero() {
		l.overBudgetSince = now
	}
	waited := now.Sub(l.overBudgetSince)
	if l.opt.WhenFull == Block && !l.blockSpent {
		if left := l.opt.BlockTimeout - waited; left > 0 {
			l.heldUp.CompareAndSwap(0, l.overBudgetSince.UnixNano())
			return min(10*waitPause, left)
		}
		l.spendBlock()
		l.overBudgetSince, waited = now, 0
	}
	if waited < maxWait {
		return waitPause
	}
	l.graceExpired = true
	return 0
}

// spendBlock ends the wait of the policy Block: from now on the oldest data is dropped.
func (l *Log) spendBlock() {
	l.blockSpent, l.blockSpentAt = true, l.lowestReleased()
	l.heldUp.Store(0)
	l.dropAllowed.Store(true)
	l.spool.wake()
}

// rearmBlock lets Block wait again once the readers have released something and the budget is no longer exceeded. So while the
// backend accepts nothing, Block waits only once, not once for each piece.
func (l *Log) rearmBlock(soft int64) {
	if l.blockSpent && soft <= 0 && l.lowestReleased() > l.blockSpentAt {
		l.blockSpent = false
		l.dropAllowed.Store(false)
	}
}

// overBudget returns by how many bytes the tightest budget is exceeded: soft counts from where maintenance begins to make room,
// hard from where nothing more may be stored.
func (l *Log) overBudget() (soft, hard int64) {
	if s := l.spool; s.opt.Role == Writer && l.stored.Load() > softLimit(l.opt.MaxBytes) {
		l.remeasureSoon()
	}
	s, mine, all := l.spool, l.stored.Load(), l.spool.stored.Load()
	soft = max(mine-softLimit(l.opt.MaxBytes), s.excess())
	hard = max(mine-l.opt.MaxBytes, all-s.opt.MaxBytes, min(s.freeShortfall.Load(), all-alwaysAllowed))
	return soft, hard
}

// softLimit returns the part of a budget from which maintenance begins to make room.
func softLimit(budget int64) int64 { return budget - budget/16 }

var errFull = errors.New("the spool's budget is used up, and what is in it is being delivered")

// refusal returns why nothing more may be stored now, usually nil.
func (l *Log) refusal() error {
	if l.unstored != nil {
		return l.unstoredCause
	}
	if _, hard := l.overBudget(); hard > 0 && l.graceExpired {
		return errFull
	}
	return nil
}

// store moves a piece of what is in the pipe to the last segment.
func (l *Log) store(pipe int, std Std) (int, error) {
	g, err := l.lastSegment()
	if err != nil {
		return 0, err
	}
	f, err := g.open()
	if err != nil {
		return 0, err
	}
	size, fresh := g.size.Load(), false
	if l.opt.Raw {
		if fresh, err = l.index.describe(&l.spool.disk, g, g.end(), std, l.spool.now().UnixNano()); err != nil {
			return 0, err
		}
	}
	n, err := l.move(pipe, f, size, int(l.segmentLimit()-size))
	switch {
	case n > 0:
		g.size.Store(size + int64(n))
		l.addStored(roundUp(size+int64(n)) - roundUp(size))
		if fresh {
			l.index.count()
		}
		l.end.Store(g.base + size + int64(n))
		return n, nil
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, ErrEmpty
	case err == nil:
		return 0, io.EOF
	}
	return 0, err
}

func (l *Log) move(pipe int, f *os.File, at int64, max int) (int, error) {
	if !l.spool.noSplice.Load() {
		n, err := l.spool.disk.splice(pipe, int(f.Fd()), at, max)
		if n > 0 || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
			return n, err
		}
		l.spool.opt.Log.Info("spool: the file system does not support splice, copying instead", "error", err)
		l.spool.noSplice.Store(true)
	}
	return l.copy(pipe, f, at, max)
}

// copy is move for a file system that does not support splice. Bytes that were read but could not be written have left the pipe:
// they are kept in unstored to be counted, and begin a gap.
func (l *Log) copy(pipe int, f *os.File, at int64, max int) (int, error) {
	mem := scratch.Get().(*[]byte)
	defer scratch.Put(mem)
	n, err := unix.Read(pipe, (*mem)[:min(max, len(*mem))])
	if n <= 0 {
		return 0, err
	}
	m, err := l.spool.disk.write(f, (*mem)[:n], at)
	if m < n {
		l.unstored, l.unstoredCause = bytes.Clone((*mem)[m:n]), err
	}
	if m == 0 {
		return 0, err
	}
	return m, nil
}

// lastSegment returns the segment to append to: a new one if the last is full or does not reach up to the log's end.
func (l *Log) lastSegment() (*segment, error) {
	end := l.end.Load()
	if segs := *l.segments.Load(); len(segs) > 0 {
		if g := segs[len(segs)-1]; g.end() == end && g.size.Load() < l.segmentLimit() && !l.index.full(g) {
			return g, nil
		}
	}
	g, err := l.newSegment(end)
	if err == nil {
		l.addSegment(g)
	}
	return g, err
}

func (l *Log) newSegment(base int64) (*segment, error) {
	name := segmentName(l.dir, base)
	f, err := l.create(name)
	if err != nil {
		return nil, err
	}
	g := &segment{base: base, name: name, spool: l.spool, indexed: l.opt.Raw}
	g.attach(f)
	return g, nil
}

// create creates a file of the log.
func (l *Log) create(name string) (*os.File, error) {
	f, err := l.spool.disk.create(name)
	if missing(err) { // the directory could not be created with the log
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			f, err = l.spool.disk.create(name)
		}
	}
	return f, err
}
