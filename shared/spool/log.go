// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Log is one stream of the spool: what came through one FIFO, in segments on disk. Capture appends to it with Take; each
// reader has a View of it; the spool's keeper gives back the space that no view needs any more.
//
// Capture, the views and the keeper share what they share through atomics. No lock that a reader takes is ever taken by
// Take.
type Log struct {
	key, dir string
	spool    *Spool
	opt      LogOptions
	views    []*View

	end       atomic.Int64               // just past the last byte that may be read
	ended     atomic.Bool                // nothing will be appended any more; set after the final end
	segments  atomic.Pointer[[]*segment] // ascending, never changed in place
	losses    atomic.Pointer[[]gap]      // what never reached the disk, for all views; never changed in place
	losing    atomic.Pointer[gap]        // the loss that goes on now, as far as it is known
	stored    atomic.Int64               // bytes on disk
	freed     atomic.Int64               // all below may have been given back
	fenced    atomic.Int64               // a boundary between frames: where the last drop ended
	yields    atomic.Bool                // the keeper may drop from it
	touched   atomic.Bool                // a view has released something
	unwritten atomic.Bool                // the ledger does not have all gaps
	history   atomic.Int64               // how much of what is released is to stay for docker logs

	// Of the one goroutine that captures.
	losingNow  *episode
	held       time.Time // since when a budget has been exceeded
	overdue    bool      // and the keeper did not make room in time
	starved    time.Time // since when the disk has been full
	spilled    []byte    // out of the pipe and not on disk
	spillCause error

	syncing sync.Mutex
	named   int64        // under syncing: base of the last segment whose name is durable, -1 at first
	synced  atomic.Int64 // what lies below is durable

	care    sync.Mutex // what the keeper does to the log, one thing at a time
	journal []byte     // not yet on disk; nil once it is
	removed bool
	kept    bool // delivered, and kept for docker logs alone
}

// LogOptions is how one log is kept.
type LogOptions struct {
	// Views are the log's readers and where each begins: its checkpoint. What no view needs is given back, so a log
	// without a view keeps nothing.
	Views map[string]int64
	// MaxBytes is what the log may take up on disk.
	MaxBytes int64
	// WhenFull says what gives way where a budget is exceeded.
	WhenFull Policy
	// BlockTimeout bounds how long Block holds capture up. After it, the oldest data are dropped until there is room.
	BlockTimeout time.Duration
	// History is how many bytes stay on disk though all views have released them.
	History int64
}

// Policy is what happens when a budget is exceeded.
type Policy int

// The policies.
const (
	DropOldest Policy = iota
	Block
)

// ParsePolicy understands "drop-oldest" and "block".
func ParsePolicy(s string) (Policy, error) {
	switch s {
	case "drop-oldest":
		return DropOldest, nil
	case "block":
		return Block, nil
	}
	return 0, fmt.Errorf("%q is neither drop-oldest nor block", s)
}

const (
	journalName = "journal.json"
	endedName   = "ended"
	// deliveredName is an empty file in a log that has ended, was delivered, and stays for docker logs alone: its
	// checkpoints are forgotten, and must not be taken for those of one that was never read.
	deliveredName = "delivered"
)

func (s *Spool) newLog(key string, o LogOptions) *Log {
	l := &Log{key: key, dir: filepath.Join(s.opt.Dir, key), spool: s, opt: o, named: -1}
	l.segments.Store(&[]*segment{})
	l.losses.Store(&[]gap{})
	l.yields.Store(o.WhenFull == DropOldest)
	l.history.Store(o.History)
	for name, at := range o.Views {
		l.views = append(l.views, newView(l, name, max(at, 0)))
	}
	return l
}

// Key is the log's name in the spool.
func (l *Log) Key() string { return l.key }

// End is the offset just past the last byte that can be read. It may step back by the beginning of a frame whose end
// could not be stored.
func (l *Log) End() int64 { return l.end.Load() }

// View is the reader of that name, nil where the log was opened without it.
func (l *Log) View(name string) *View {
	for _, v := range l.views {
		if v.name == name {
			return v
		}
	}
	return nil
}

// Stored is how many bytes the log takes up on disk.
func (l *Log) Stored() int64 { return l.stored.Load() }

// segmentLimit keeps segments small where the budget is.
func (l *Log) segmentLimit() int64 { return min(l.spool.segmentSize, max(l.opt.MaxBytes/8, 64<<10)) }

// pread reads what is stored from off up to stop, across segments, without looking at gaps.
func (l *Log) pread(p []byte, off, stop int64) (n int, err error) {
	segs := *l.segments.Load()
	p = p[:min(int64(len(p)), max(stop-off, 0))]
	for i := segmentAt(segs, off); n < len(p); i++ {
		at := off + int64(n)
		if i < 0 || i >= len(segs) || at < segs[i].base || at >= segs[i].end() {
			if n > 0 {
				return n, nil
			}
			return 0, fmt.Errorf("%s: bytes at %d are in no segment", l.dir, at)
		}
		want := p[n:]
		want = want[:min(int64(len(want)), segs[i].end()-at)]
		m, err := segs[i].file.ReadAt(want, at-segs[i].base)
		n += m
		if m < len(want) {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
	}
	return n, nil
}

func (l *Log) lossAt(off int64) (gap, bool) {
	if g, _ := findGap(*l.losses.Load(), off); g != nil {
		return *g, true
	}
	return gap{}, false
}

// change replaces the list that p points to by what f makes of a copy of it.
func change[T any](p *atomic.Pointer[[]T], f func([]T) []T) {
	for {
		old := p.Load()
		next := f(slices.Clone(*old))
		if p.CompareAndSwap(old, &next) {
			return
		}
	}
}

func (l *Log) addSegment(g *segment) {
	change(&l.segments, func(segs []*segment) []*segment { return append(segs, g) })
}

// addStored accounts for n bytes that were written, or were given back where n is negative.
func (l *Log) addStored(n int64) {
	l.stored.Add(n)
	l.spool.stored.Add(n)
}

// settled is the lowest offset that a view has yet to release; the end where there is no view.
func (l *Log) settled() int64 {
	low := l.end.Load()
	for _, v := range l.views {
		low = min(low, v.released.Load())
	}
	return low
}

// touch tells the keeper that a view has released something.
func (l *Log) touch() {
	l.touched.Store(true)
	l.spool.wake()
}

// Finish says that nothing will be appended any more. What is stored is made durable; a log that holds nothing, or
// nothing that is still wanted, leaves nothing behind.
func (l *Log) Finish() {
	if l.ended.Load() {
		return
	}
	l.endLoss()
	l.ended.Store(true)
	l.care.Lock()
	if l.free(); !l.removed {
		l.mark(endedName) // may be missing after a crash of the machine; the FIFO is gone then, too
	}
	l.care.Unlock()
	if err := l.Sync(); err != nil {
		l.warn("fsync failed", err)
	}
}

// mark makes an empty file of that name beside the segments.
func (l *Log) mark(name string) {
	f, err := l.spool.disk.create(filepath.Join(l.dir, name))
	if err != nil {
		l.warn("can't note that the stream is "+name, err)
		return
	}
	f.Close()
}

func (l *Log) marked(name string) bool {
	_, err := os.Stat(filepath.Join(l.dir, name))
	return err == nil
}

// Sync makes durable what was appended, save what all views have released. It may be called from any goroutine.
func (l *Log) Sync() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	end := l.end.Load()
	if !l.unsynced() {
		return nil
	}
	segs := *l.segments.Load()
	for _, g := range segs {
		if g.end() <= l.synced.Load() {
			continue
		}
		if err := l.spool.disk.sync(g.file); err != nil && !l.isGone(g) {
			return fmt.Errorf("%s: %w", g.file.Name(), err)
		}
	}
	if n := len(segs); n > 0 && segs[n-1].base != l.named {
		if err := l.spool.disk.syncDir(l.dir); err != nil && !missing(err) {
			return err
		}
		l.named = segs[n-1].base
	}
	l.synced.Store(end)
	return nil
}

// isGone says that a segment was given back in the meantime.
func (l *Log) isGone(g *segment) bool { return !slices.Contains(*l.segments.Load(), g) }

// keepJournal writes the journal and makes the log's directory durable. Under care.
func (l *Log) keepJournal() error {
	if l.journal == nil {
		return nil
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if err := l.writeEntries(nil); err != nil {
		return err
	}
	if err := l.spool.disk.writeDurably(filepath.Join(l.dir, journalName), l.journal); err != nil {
		return err
	}
	// With a journalling file system all of it went to disk with the first fsync, and these two find nothing to do.
	if err := l.spool.disk.syncDir(l.dir); err != nil {
		return err
	}
	if err := l.spool.disk.syncDir(filepath.Dir(l.dir)); err != nil {
		return err
	}
	l.journal = nil
	return nil
}

func (l *Log) warn(what string, err error) {
	l.spool.opt.Log.Warn("spool: "+what, slog.String("stream", l.key), slog.Any("error", err))
}
