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

// What Take says beside io.EOF.
var (
	// ErrEmpty says that there is nothing in the pipe now, and that somebody still may write into it.
	ErrEmpty = errors.New("pipe is empty")
	// ErrClosed says that the spool was closed; what is in the pipe waits there for the next process.
	ErrClosed = errors.New("spool is closed")
	// ErrFull says that nothing was taken because the disk is full, and that the keeper may yet make room: it is to be
	// tried again in a millisecond or two, for some fifty.
	ErrFull = errors.New("disk is full")
)

const (
	// heldAtMost bounds how long capture waits for the keeper to make room.
	heldAtMost = 50 * time.Millisecond
	heldPause  = time.Millisecond
	// alwaysAllowed is what the spool may take up though the disk has less free than it is to have: enough for what is
	// on its way to a backend that works, so that a disk which others have filled does not stop all collection.
	alwaysAllowed = 16 << 20
)

// Take moves what is in the pipe to the end of the log, in one piece, and returns how many bytes left the pipe. It never
// waits. ErrEmpty, io.EOF (nobody has the pipe open for writing) and ErrFull come with no bytes. Where the disk takes no
// more, it takes from the pipe all the same, counts what it throws away, and tries the disk again from time to time.
//
// splice(2) leaves in the pipe what it did not write, so nothing is lost when the process is killed in between. One
// goroutine calls it at a time.
func (l *Log) Take(pipe int) (int, error) {
	if l.spool.closed.Load() {
		return 0, ErrClosed
	}
	if l.losingNow == nil {
		err := l.refusal()
		if err == nil {
			var n int
			if n, err = l.store(pipe); err == nil || err == ErrEmpty || err == io.EOF {
				l.starved = time.Time{}
				return n, err
			}
			if l.mayWait(err) {
				return 0, ErrFull
			}
		}
		l.beginLoss(err)
	}
	return l.discard(pipe)
}

// mayWait says that the disk is full and that the keeper has not yet had its time to make room.
func (l *Log) mayWait(err error) bool {
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return false
	}
	l.spool.wake()
	now := l.spool.now()
	if l.starved.IsZero() {
		l.starved = now
	}
	return now.Sub(l.starved) < heldAtMost
}

// Hold is how long capture is to leave the pipe alone, because a budget is exceeded: 0 mostly. Whoever must not wait,
// because the stream ends, may call Take all the same.
func (l *Log) Hold() time.Duration {
	soft, hard := l.over()
	if soft > 0 {
		l.spool.wake()
	}
	if hard <= 0 || l.losingNow != nil {
		if !l.held.IsZero() {
			l.held, l.overdue = time.Time{}, false
			l.yields.Store(l.opt.WhenFull == DropOldest)
		}
		return 0
	}
	now := l.spool.now()
	if l.held.IsZero() {
		l.held = now
	}
	waited := now.Sub(l.held)
	if l.opt.WhenFull == Block {
		if left := l.opt.BlockTimeout - waited; left > 0 {
			return min(10*heldPause, left)
		}
		l.yields.Store(true)
		waited -= l.opt.BlockTimeout
	}
	if waited < heldAtMost {
		return heldPause
	}
	l.overdue = true
	return 0
}

// over is by how many bytes the tightest of the budgets is exceeded: beyond what lets the keeper begin to make room, and
// beyond what may be used at all.
func (l *Log) over() (soft, hard int64) {
	s, mine, all := l.spool, l.stored.Load(), l.spool.stored.Load()
	soft = max(mine-softLimit(l.opt.MaxBytes), s.excess())
	hard = max(mine-l.opt.MaxBytes, all-s.opt.MaxBytes, min(s.short.Load(), all-alwaysAllowed))
	return soft, hard
}

// softLimit is where the keeper begins to make room in a budget.
func softLimit(budget int64) int64 { return budget - budget/16 }

var errFull = errors.New("the spool's budget is used up, and what is in it is being delivered")

// refusal is why nothing more may be stored now, nil mostly.
func (l *Log) refusal() error {
	if l.spilled != nil {
		return l.spillCause
	}
	if _, hard := l.over(); hard > 0 && l.overdue {
		return errFull
	}
	return nil
}

// store moves a piece of what is in the pipe into the last segment.
func (l *Log) store(pipe int) (int, error) {
	g, err := l.lastSegment()
	if err != nil {
		return 0, err
	}
	size := g.size.Load()
	n, err := l.move(pipe, g, size, int(l.segmentLimit()-size))
	switch {
	case n > 0:
		g.size.Store(size + int64(n))
		l.addStored(int64(n))
		l.end.Store(g.base + size + int64(n))
		return n, nil
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, ErrEmpty
	case err == nil:
		return 0, io.EOF
	}
	return 0, err
}

func (l *Log) move(pipe int, g *segment, at int64, max int) (int, error) {
	if !l.spool.noSplice.Load() {
		n, err := l.spool.disk.splice(pipe, g.fd(), at, max)
		if n > 0 || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
			return n, err
		}
		l.spool.opt.Log.Info("spool: splice is not supported here, copying instead", "error", err)
		l.spool.noSplice.Store(true)
	}
	return l.copy(pipe, g, at, max)
}

// copy is what move does where the file system can't splice. What was read and could not be written has left the pipe:
// it is kept to be counted, and is the beginning of a loss.
func (l *Log) copy(pipe int, g *segment, at int64, max int) (int, error) {
	mem := scratch.Get().(*[]byte)
	defer scratch.Put(mem)
	n, err := unix.Read(pipe, (*mem)[:min(max, len(*mem))])
	if n <= 0 {
		return 0, err
	}
	m, err := l.spool.disk.write(g.file, (*mem)[:n], at)
	if m < n {
		l.spilled, l.spillCause = bytes.Clone((*mem)[m:n]), err
	}
	if m == 0 {
		return 0, err
	}
	return m, nil
}

// lastSegment is the segment to append to, a new one where the last is full or does not reach up to the end.
func (l *Log) lastSegment() (*segment, error) {
	end := l.end.Load()
	if segs := *l.segments.Load(); len(segs) > 0 {
		if g := segs[len(segs)-1]; g.end() == end && g.size.Load() < l.segmentLimit() {
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
	f, err := l.spool.disk.create(name)
	if missing(err) { // the directory itself could not be made when the log was
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			f, err = l.spool.disk.create(name)
		}
	}
	if err != nil {
		return nil, err
	}
	return &segment{base: base, file: f}, nil
}
