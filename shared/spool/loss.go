// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// retryPause is how long a disk that took no more is left alone.
const retryPause = time.Second

// probeSize is how much space there has to be before a loss is thought to be over.
const probeSize = 256 << 10

// episode is a loss under way: what comes through the pipe is counted and thrown away. The bytes keep their offsets, as
// if they had been stored and then given up, so that readers meet them as a Gap.
type episode struct {
	gap
	counter frameCounter
	retry   time.Time
}

// beginLoss ends the log at its last whole frame and begins to throw away what follows.
func (l *Log) beginLoss(cause error) {
	end := l.end.Load()
	at, _, ok := l.hop(l.knownBoundary(end), end, end)
	e := &episode{gap: gap{from: at, to: end, reason: lossReason(cause)}, retry: l.spool.now().Add(retryPause)}
	e.counter.lost = !ok
	if ok {
		e.counter.count(l.unfinished(at, end))
	} else {
		e.from = end
	}
	e.counter.count(l.spilled)
	e.to += int64(len(l.spilled))
	l.spilled, l.spillCause, l.starved = nil, nil, time.Time{}
	l.end.Store(e.from)
	l.cutBack(e.from)
	l.losingNow = e
	l.note()
	l.warn("can't store what a container writes, dropping it until it can", cause)
}

func lossReason(cause error) string {
	switch {
	case errors.Is(cause, errFull):
		return "spool full"
	case errors.Is(cause, unix.ENOSPC), errors.Is(cause, unix.EDQUOT):
		return "disk full"
	case errors.Is(cause, unix.EROFS):
		return "disk read-only"
	}
	return "disk error"
}

// knownBoundary is the highest offset, at most end, that is known to lie between two frames.
func (l *Log) knownBoundary(end int64) int64 {
	at := l.fenced.Load()
	for _, v := range l.views {
		if c := v.boundary(); c <= end {
			at = max(at, c)
		}
	}
	if losses := *l.losses.Load(); len(losses) > 0 {
		at = max(at, losses[len(losses)-1].to)
	}
	return min(at, end)
}

// unfinished is the beginning of a frame whose end is still to come.
func (l *Log) unfinished(at, end int64) []byte {
	p := make([]byte, end-at)
	n, _ := l.pread(p, at, end)
	return p[:n]
}

// cutBack takes the bytes at and after end out of the last segments. Where even that fails they stay, and nobody reads
// them.
func (l *Log) cutBack(end int64) {
	segs := *l.segments.Load()
	for i := len(segs) - 1; i >= 0; i-- {
		g := segs[i]
		size := max(min(end-g.base, g.size.Load()), 0)
		l.addStored(size - g.size.Load())
		if size == 0 {
			l.dropSegment(g)
			continue
		}
		if size < g.size.Load() {
			if err := g.file.Truncate(size); err != nil {
				l.warn("can't cut off an unfinished frame", err)
			}
			g.size.Store(size)
		}
		return
	}
}

// dropSegment takes a segment out of the log and off the disk.
func (l *Log) dropSegment(g *segment) {
	change(&l.segments, func(segs []*segment) []*segment {
		return slices.DeleteFunc(segs, func(o *segment) bool { return o == g })
	})
	g.remove()
}

// discard takes a piece out of the pipe and throws it away. Once it is time to try the disk again it takes no more than
// the frame under way.
func (l *Log) discard(pipe int) (int, error) {
	e := l.losingNow
	mem := scratch.Get().(*[]byte)
	defer scratch.Put(mem)
	p := *mem
	if !l.spool.now().Before(e.retry) {
		if e.counter.boundary() {
			if l.canStore() {
				l.endLoss()
				return 0, nil
			}
			e.retry = l.spool.now().Add(retryPause)
		} else {
			p = p[:min(int64(len(p)), e.counter.rest())]
		}
	}
	n, err := unix.Read(pipe, p)
	switch {
	case n > 0:
		e.counter.count(p[:n])
		e.to += int64(n)
		l.note()
		return n, nil
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, ErrEmpty
	default:
		return 0, io.EOF
	}
}

// note lets the keeper know how much is lost so far; it writes that down once a second.
func (l *Log) note() {
	g := l.losingNow.gap
	if g.records = l.losingNow.counter.frames; l.losingNow.counter.lost {
		g.records = -1
	}
	if g.to > g.from {
		l.losing.Store(&g)
	}
}

// canStore makes the next segment and sees whether there is room in it.
func (l *Log) canStore() bool {
	if soft, _ := l.over(); soft > 0 {
		l.spool.wake()
		return false
	}
	g, err := l.newSegment(l.losingNow.to)
	if err != nil {
		return false
	}
	if err := l.spool.disk.allocate(g.fd(), min(probeSize, l.segmentLimit())); err != nil {
		g.remove()
		return false
	}
	l.addSegment(g)
	return true
}

// endLoss makes of the loss a gap that readers meet, and lets the log go on behind it.
func (l *Log) endLoss() {
	if l.losingNow == nil {
		return
	}
	l.note()
	l.losingNow = nil
	g := l.losing.Load()
	if g == nil {
		return
	}
	change(&l.losses, func(gaps []gap) []gap { return append(gaps, *g) })
	l.losing.Store(nil)
	l.unwritten.Store(true)
	l.end.Store(g.to)
	l.touch()
	l.spool.opt.Log.Warn("spool: storing again", slog.String("stream", l.key), slog.String("reason", g.reason),
		slog.Int64("records", g.records), slog.Int64("bytes", g.to-g.from))
}
