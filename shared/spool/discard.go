// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/notice"
)

// retryPause is the pause before a disk that took no more is tried again.
const retryPause = time.Second

// probeSize is how much space must be free before storing is resumed.
const probeSize = 256 << 10

// openGap is a gap that is growing: what comes through the pipe is counted and discarded. The bytes have offsets as if they had
// been stored and then given up, so that readers get a Gap for them.
type openGap struct {
	gap
	counter frameCounter
	retry   time.Time
}

// startDiscarding ends the log at its last whole frame and begins to discard what follows. The caller holds l.writeMu.
func (l *Log) startDiscarding(cause error) {
	end := l.end.Load()
	at, ok := end, true
	if !l.opt.Raw { // a reader of raw bytes finds its lines anywhere
		at, _, ok = l.skipFrames(l.knownBoundary(end), end, end)
	}
	e := &openGap{gap: gap{from: at, to: end, reason: discardReason(cause)}, retry: l.spool.now().Add(retryPause)}
	e.counter.lost, e.counter.lines = !ok, l.opt.Raw
	if ok {
		e.counter.count(l.unfinished(at, end))
	} else {
		e.from = end
	}
	e.counter.count(l.unstored)
	e.to += int64(len(l.unstored))
	l.unstored, l.unstoredCause, l.diskFullSince = nil, nil, time.Time{}
	l.end.Store(e.from)
	if !l.opt.Raw {
		l.truncateTo(e.from)
	}
	l.discarding = e
	l.publishGap()
	l.warn(notice.SpoolWriteFailed, cause)
}

func discardReason(cause error) string {
	switch {
	case errors.Is(cause, errFull):
		return reasonSpoolFull
	case errors.Is(cause, unix.ENOSPC), errors.Is(cause, unix.EDQUOT):
		return "disk full"
	case errors.Is(cause, unix.EROFS):
		return "disk read-only"
	case outOfDescriptors(cause):
		return "no file descriptors left"
	}
	return "disk error"
}

// knownBoundary returns the highest offset, at most end, that is known to be a boundary between frames.
func (l *Log) knownBoundary(end int64) int64 {
	at := l.lastBoundary.Load()
	for _, v := range l.views {
		if c := v.boundary(); c <= end {
			at = max(at, c)
		}
	}
	if gaps := *l.sharedGaps.Load(); len(gaps) > 0 {
		at = max(at, gaps[len(gaps)-1].to)
	}
	return min(at, end)
}

// unfinished returns the stored beginning of a frame whose end is still to come.
func (l *Log) unfinished(at, end int64) []byte {
	p := make([]byte, end-at)
	n, _ := l.pread(p, at, end)
	return p[:n]
}

// truncateTo removes the bytes at or after end from the last segments. If truncating a file fails, its bytes stay there unread.
func (l *Log) truncateTo(end int64) {
	segs := *l.segments.Load()
	for i := len(segs) - 1; i >= 0; i-- {
		g := segs[i]
		size := max(min(end-g.base, g.size.Load()), 0)
		l.addStored(roundUp(size) - roundUp(g.size.Load()))
		if size == 0 {
			l.removeSegment(g)
			continue
		}
		if size < g.size.Load() {
			if err := g.with(func(f *os.File) error { return f.Truncate(size) }); err != nil {
				l.warn(notice.SpoolFrameNotCut, err)
			}
			g.size.Store(size)
		}
		return
	}
}

// removeSegment removes a segment from the log and from the disk.
func (l *Log) removeSegment(g *segment) {
	change(&l.segments, func(segs []*segment) []*segment {
		return slices.DeleteFunc(segs, func(o *segment) bool { return o == g })
	})
	g.remove()
}

// discard takes a piece from the pipe and discards it. Once it is time to try the disk again, it takes only the rest of the
// current frame. The caller holds l.writeMu.
func (l *Log) discard(pipe int) (int, error) {
	e := l.discarding
	mem := scratch.Get().(*[]byte)
	defer scratch.Put(mem)
	p := *mem
	if !l.spool.now().Before(e.retry) {
		if e.counter.boundary() {
			if l.canStore() {
				l.stopDiscarding()
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
		l.publishGap()
		return n, nil
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, ErrEmpty
	default:
		return 0, io.EOF
	}
}

// publishGap publishes how much is lost so far. Maintenance persists that once a second; a writer persists it at once.
func (l *Log) publishGap() {
	g := l.discarding.gap
	if g.records = l.discarding.counter.frames; l.discarding.counter.lost {
		g.records = -1
	}
	if g.to == g.from {
		return
	}
	l.published.Store(&g)
	if l.spool.opt.Role == Writer { // if this fails, it is written with the next piece
		_ = l.writeLosses()
	}
}

// spareName is the name under which canStore creates a segment until there is room for it.
const spareName = "segment.new"

// canStore creates the next segment if there is room for it, and reports whether there is. The file gets its name only then,
// because for readers a segment ends the gap before it, and is not removed again.
func (l *Log) canStore() bool {
	if soft, _ := l.overBudget(); soft > 0 {
		l.spool.wake()
		return false
	}
	spare, base := filepath.Join(l.dir, spareName), l.discarding.to
	f, err := l.create(spare)
	if err != nil {
		return false
	}
	g := &segment{base: base, name: segmentName(l.dir, base), spool: l.spool, indexed: l.opt.Raw}
	if err = l.spool.disk.allocate(int(f.Fd()), min(probeSize, l.segmentLimit())); err == nil {
		err = os.Rename(spare, g.name)
	}
	if err != nil {
		f.Close()
		os.Remove(spare)
		return false
	}
	g.attach(f)
	l.addSegment(g)
	return true
}

// stopDiscarding ends the gap, so that readers get it. Appending continues after it. The caller holds l.writeMu.
func (l *Log) stopDiscarding() {
	if l.discarding == nil {
		return
	}
	l.publishGap()
	l.discarding = nil
	g := l.published.Load()
	if g == nil {
		return
	}
	change(&l.sharedGaps, func(gaps []gap) []gap { return append(gaps, *g) })
	l.published.Store(nil)
	l.unwritten.Store(true)
	l.end.Store(g.to)
	l.wakeMaintenance()
	notice.SpoolWritable.Log(l.spool.opt.Log, slog.String("stream", l.key), slog.String("reason", g.reason),
		slog.Int64("records", g.records), slog.Int64("bytes", g.to-g.from))
}
