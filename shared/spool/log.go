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

	"github.com/remora-logs/remora/shared/notice"
)

// Log is one stream of the spool: what came through one pipe, in segments on disk. Capture appends to it with Take, each
// reader has a View of it, and the spool's maintenance goroutine gives back the space that no view needs any more.
//
// These are the states of a log, the fields that hold them, and what ends them:
//
//	state       is                                                  until
//	storing     discarding == nil, !ended                           a budget is exceeded: waiting. Finish: ended
//	waiting     overBudgetSince or diskFullSince set; nothing is    there is room: storing. The wait is over: storing
//	            taken from the pipe while maintenance makes room    where old data may be dropped, else discarding
//	discarding  discarding != nil; bytes are counted, not stored    the disk takes bytes again: storing. Finish: ended
//	ended       ended; views still read                             every view has released all: history, or removed.
//	                                                                Too many have ended: removed, and counted
//	history     historyOnly; delivered, kept for docker logs        its space, its age or the number of ended logs: removed
//	removed     removed; the directory is gone                      -
//
// Capture, the views and maintenance share what they share through atomics. No lock that a reader takes is ever taken by
// Take.
type Log struct {
	key, dir string
	spool    *Spool
	opt      LogOptions
	views    []*View

	end            atomic.Int64               // just past the last byte that may be read
	ended          atomic.Bool                // nothing will be appended any more; set after the final end
	lineEnd        atomic.Int64               // see EndLine; 0 for none
	segments       atomic.Pointer[[]*segment] // ascending, never changed in place
	sharedGaps     atomic.Pointer[[]gap]      // what never reached the disk, for all views; never changed in place
	published      atomic.Pointer[gap]        // the gap that grows now, as far as it is known
	stored         atomic.Int64               // bytes of segments on disk, in whole blocks
	freed          atomic.Int64               // all below may have been given back
	lastBoundary   atomic.Int64               // a boundary between frames: where the last drop ended
	dropAllowed    atomic.Bool                // maintenance may drop old data from it
	maintenanceDue atomic.Bool                // a view has released something
	unwritten      atomic.Bool                // the gap file does not have all gaps
	unsyncedFiles  atomic.Bool                // of a writer: manifest or losses are not durable
	history        atomic.Int64               // how much of what is released stays for docker logs
	heldUp         atomic.Int64               // since when (ns since 1970) Block leaves the pipe alone, 0 where it does not

	// writeMu is held while capture appends, and by whoever closes the file that capture appends to. It guards the fields
	// below, which belong to the one goroutine that captures.
	writeMu         sync.Mutex
	discarding      *openGap
	overBudgetSince time.Time
	graceExpired    bool      // maintenance did not make room in time
	diskFullSince   time.Time // or since when there has been no descriptor
	unstored        []byte    // out of the pipe and not on disk
	unstoredCause   error
	index           indexWriter
	lockFile        *os.File // of a writer in a process of its own
	measuredAt      time.Time
	noteEnd         bool  // of a writer: it ends, and says so in losses
	endNoted        bool  // the writer before this one said so
	blockSpent      bool  // Block has waited its time
	blockSpentAt    int64 // what all views had released then

	// syncMu is held during Sync. It guards durableName.
	syncMu      sync.Mutex
	durableName int64        // base of the last segment whose name is durable, -1 at first
	synced      atomic.Int64 // what lies below is durable

	// maintMu is held while space is given back and the gap file is written. It guards the fields below and
	// segment.freed.
	maintMu     sync.Mutex
	manifest    []byte // not yet on disk; nil once it is
	removed     bool
	historyOnly bool
	endedAt     time.Time
	otherGaps   []storedGap // of readers that the log was opened without
	followed    followed
}

// LogOptions is how one log is kept.
type LogOptions struct {
	// Views are the log's readers and where each begins: its checkpoint, or NoCheckpoint. What no view needs is given
	// back, so a log without a view keeps nothing. A name is GROUP/READER: a reader without a checkpoint takes over from
	// those of its group, see Resume.
	Views map[string]int64
	// Former are the checkpoints of readers that the log is not opened with any more.
	Former map[string]int64
	// Raw is set for a log of a container's bytes as they came, with an index of which stream they are of, and when they
	// were read. Else the log holds frames of the engine.
	Raw bool
	// MaxBytes is what the log may take up on disk.
	MaxBytes int64
	// WhenFull is what gives way where a budget is exceeded.
	WhenFull Policy
	// BlockTimeout bounds how long Block holds capture up. After it the oldest data are dropped, until the readers have
	// released something again.
	BlockTimeout time.Duration
	// History is how many bytes stay on disk though all views have released them.
	History int64
}

// NoCheckpoint is the position of a view that has never released anything.
const NoCheckpoint = -1

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
	manifestName = "manifest.json"
	// oldManifestName is what manifestName was once.
	oldManifestName = "journal.json"
	endedName       = "ended"
	// deliveredName is an empty file in a log that has ended, was delivered, and stays for docker logs alone: its
	// checkpoints are deleted, and it must not be taken for a log that was never read.
	deliveredName = "delivered"
)

func (s *Spool) newLog(key string, o LogOptions) *Log {
	l := &Log{key: key, dir: filepath.Join(s.opt.Dir, key), spool: s, opt: o, durableName: -1}
	if o.WhenFull == DropOldest && s.opt.Role == Writer {
		l.opt.BlockTimeout = 0 // only the reader can drop what is old
	}
	l.segments.Store(&[]*segment{})
	l.sharedGaps.Store(&[]gap{})
	l.dropAllowed.Store(o.WhenFull == DropOldest)
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

// Ended reports whether nothing will be appended any more.
func (l *Log) Ended() bool { return l.ended.Load() }

// View is the reader of that name, nil where the log was opened without it.
func (l *Log) View(name string) *View {
	for _, v := range l.views {
		if v.name == name {
			return v
		}
	}
	return nil
}

// Stored is how many bytes of the disk the log's segments take up.
func (l *Log) Stored() int64 { return l.stored.Load() }

// HeldUpSince is since when the policy Block has left the container's pipe alone; zero where it does not.
func (l *Log) HeldUpSince() time.Time {
	if ns := l.heldUp.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// segmentLimit keeps segments small where the budget is.
func (l *Log) segmentLimit() int64 { return min(l.spool.segmentSize, max(l.opt.MaxBytes/8, 64<<10)) }

// pread reads what is stored from off up to stop, across segments, without regard to gaps.
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
		m, err := segs[i].readAt(want, at-segs[i].base)
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

func (l *Log) sharedGapAt(off int64) (gap, bool) {
	if g, _ := findGap(*l.sharedGaps.Load(), off); g != nil {
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

// addStored accounts for n bytes of the disk that were taken, or were given back where n is negative.
func (l *Log) addStored(n int64) {
	l.stored.Add(n)
	l.spool.stored.Add(n)
}

// lowestReleased is the lowest offset that a view has yet to release; the end where there is no view.
func (l *Log) lowestReleased() int64 {
	low := l.end.Load()
	for _, v := range l.views {
		low = min(low, v.released.Load())
	}
	return low
}

// wakeMaintenance tells the maintenance goroutine that a view has released something.
func (l *Log) wakeMaintenance() {
	l.maintenanceDue.Store(true)
	l.spool.wake()
}

// Finish ends the log: nothing will be appended any more. What is stored is made durable; a log that holds nothing, or
// nothing that is still wanted, leaves nothing behind.
func (l *Log) Finish() {
	if l.ended.Load() {
		return
	}
	l.writeMu.Lock()
	l.stopDiscarding()
	l.heldUp.Store(0)
	l.writeMu.Unlock()
	l.ended.Store(true)
	l.maintMu.Lock()
	l.endedAt = l.spool.now()
	if l.free(); !l.removed {
		l.createMarker(endedName) // may be missing after a crash of the machine; the FIFO is gone then, too
	}
	l.maintMu.Unlock()
	if err := l.Sync(); err != nil {
		l.warn(notice.SpoolStreamNotSynced, err)
	}
	l.wakeMaintenance()
}

// AddUnknownGap tells all readers that something may be missing at the log's end, of which nothing is known, not even
// whether it was anything. Whoever captures calls it.
func (l *Log) AddUnknownGap(reason string) {
	if l.ended.Load() {
		return
	}
	l.writeMu.Lock()
	l.stopDiscarding()
	end := l.end.Load()
	g := gap{from: end, to: end + unknownLen, records: -1, reason: reason, unknown: true}
	change(&l.sharedGaps, func(gaps []gap) []gap { return append(gaps, g) })
	l.unwritten.Store(true)
	l.end.Store(g.to)
	l.writeMu.Unlock()
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if err := l.writeGapFile(nil); err != nil {
		l.warn(notice.SpoolGapNotStored, err)
	}
}

// createMarker makes a file of that name beside the segments; where there is no inode left for it, another name of the
// lock, which needs none. Nobody reads what is in it.
func (l *Log) createMarker(name string) {
	marker := filepath.Join(l.dir, name)
	f, err := l.spool.disk.create(marker)
	if err != nil && os.Link(filepath.Join(l.dir, lockName), marker) == nil {
		return
	}
	if err != nil {
		l.warn(notice.SpoolNotMarked, fmt.Errorf("%s: %w", name, err))
		return
	}
	f.Close()
}

func (l *Log) hasMarker(name string) bool {
	_, err := os.Stat(filepath.Join(l.dir, name))
	return err == nil
}

// Sync makes durable what was appended, except what all views have released. It may be called from any goroutine.
func (l *Log) Sync() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	end := l.end.Load()
	if !l.unsynced() {
		return nil
	}
	segs := *l.segments.Load()
	for _, g := range segs {
		if g.end() <= l.synced.Load() {
			continue
		}
		if err := g.with(l.spool.disk.sync); err != nil && !l.isGone(g) {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if n := len(segs); n > 0 && segs[n-1].base != l.durableName {
		if err := l.spool.disk.syncDir(l.dir); err != nil && !missing(err) {
			return err
		}
		l.durableName = segs[n-1].base
	}
	l.synced.Store(end)
	return nil
}

// isGone reports whether a segment was given back in the meantime, maybe by a reader in another process.
func (l *Log) isGone(g *segment) bool {
	if !slices.Contains(*l.segments.Load(), g) {
		return true
	}
	_, err := os.Stat(g.name)
	return l.spool.opt.Role == Writer && missing(err)
}

// storeManifest writes the manifest and makes the log's directory durable. Under maintMu.
func (l *Log) storeManifest() error {
	if l.manifest == nil {
		return nil
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if err := l.writeEntries(nil); err != nil {
		return err
	}
	if err := l.spool.disk.writeDurably(filepath.Join(l.dir, manifestName), l.manifest); err != nil {
		return err
	}
	// With a journalling file system all of it went to disk with the first fsync, and these two find nothing to do.
	if err := l.spool.disk.syncDir(l.dir); err != nil {
		return err
	}
	if err := l.spool.disk.syncDir(filepath.Dir(l.dir)); err != nil {
		return err
	}
	l.manifest = nil
	return nil
}

func (l *Log) warn(what *notice.Message, err error) {
	what.Log(l.spool.opt.Log, slog.String("stream", l.key), slog.Any("error", err))
}
