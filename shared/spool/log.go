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

// Log is one stream of the spool: the bytes that came through one pipe, in segments on disk. Capture appends to it with Take,
// each reader has a View of it, and the spool's maintenance goroutine gives back the space that no view needs any more.
//
// A log has these states. The table shows the fields that hold each state, and what ends it:
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
// Capture, the views and maintenance share state through atomics. Take never waits for a lock that a reader holds during a
// read.
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
	published      atomic.Pointer[gap]        // the gap that is growing, up to what has been counted; nil for none
	stored         atomic.Int64               // bytes of segments on disk, in whole blocks
	freed          atomic.Int64               // bytes below may have been given back
	lastBoundary   atomic.Int64               // a boundary between frames: where the last drop ended
	dropAllowed    atomic.Bool                // maintenance may drop its oldest data
	maintenanceDue atomic.Bool                // a view has released something
	unwritten      atomic.Bool                // the gap file lacks some gaps
	unsyncedFiles  atomic.Bool                // of a writer: manifest or losses are not durable
	history        atomic.Int64               // how many released bytes stay for docker logs
	heldUp         atomic.Int64               // since when Block has left the pipe alone, in ns since 1970; 0 if it does not

	// writeMu is held while capture appends, and while the file that capture appends to is closed. It guards the fields
	// below, which belong to the goroutine that captures.
	writeMu         sync.Mutex
	discarding      *openGap
	overBudgetSince time.Time
	graceExpired    bool      // maintenance did not make room in time
	diskFullSince   time.Time // since when the disk has been full, or no descriptor was left
	unstored        []byte    // bytes that were taken from the pipe and could not be stored
	unstoredCause   error
	index           indexWriter
	lockFile        *os.File // of a process that only writes; nil otherwise
	measuredAt      time.Time
	noteEnd         bool  // of a writer: it ends, and notes that in losses
	endNoted        bool  // the previous writer noted that it had ended
	blockSpent      bool  // Block has waited for BlockTimeout
	blockSpentAt    int64 // the offset that all views had released then

	// syncMu is held during Sync. It guards durableName.
	syncMu      sync.Mutex
	durableName int64        // base of the last segment whose name is durable, -1 at first
	synced      atomic.Int64 // bytes below are durable

	// maintMu is held while space is given back and the gap file is written. It guards the fields below and
	// segment.freed.
	maintMu     sync.Mutex
	manifest    []byte // not yet on disk; nil once it is
	removed     bool
	historyOnly bool
	endedAt     time.Time
	otherGaps   []storedGap // of readers that the log was not opened with
	followed    followed
}

// LogOptions are the options of one log.
type LogOptions struct {
	// Views maps the names of the log's readers to where each begins: its checkpoint, or NoCheckpoint. What no view needs is
	// given back, so a log without a view keeps nothing. A name is GROUP/READER: a reader without a checkpoint takes over from
	// others of its group; see Resume.
	Views map[string]int64
	// Former holds the checkpoints of earlier readers that the log is no longer opened with.
	Former map[string]int64
	// Raw is set for a log of a container's bytes as they came, with an index of which stream they came from and when they
	// were read. Otherwise the log holds frames of the engine.
	Raw bool
	// MaxBytes bounds the log's disk space.
	MaxBytes int64
	// WhenFull is the policy for when a budget is exceeded.
	WhenFull Policy
	// BlockTimeout bounds how long Block holds up capture. After that the oldest data is dropped, until the readers have
	// released something again.
	BlockTimeout time.Duration
	// History is how many bytes stay on disk after all views have released them.
	History int64
}

// NoCheckpoint is the checkpoint of a view that has never released anything.
const NoCheckpoint = -1

// Policy is what a log does when a budget is exceeded.
type Policy int

// The policies.
const (
	DropOldest Policy = iota
	Block
)

// ParsePolicy parses "drop-oldest" and "block".
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
	// oldManifestName is the manifest's name in spools of earlier versions.
	oldManifestName = "journal.json"
	endedName       = "ended"
	// deliveredName is an empty file in a log that has ended, was delivered, and stays only for docker logs. Its checkpoints
	// are deleted, so without the file it would look like a log that was never read.
	deliveredName = "delivered"
)

func (s *Spool) newLog(key string, o LogOptions) *Log {
	l := &Log{key: key, dir: filepath.Join(s.opt.Dir, key), spool: s, opt: o, durableName: -1}
	if o.WhenFull == DropOldest && s.opt.Role == Writer {
		l.opt.BlockTimeout = 0 // only the reader can drop old data
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

// Key returns the log's name in the spool.
func (l *Log) Key() string { return l.key }

// End returns the offset just past the last byte that can be read. It may decrease by the beginning of a frame whose end could
// not be stored.
func (l *Log) End() int64 { return l.end.Load() }

// Ended reports whether nothing will be appended any more.
func (l *Log) Ended() bool { return l.ended.Load() }

// View returns the view of that name; nil if the log was opened without it.
func (l *Log) View(name string) *View {
	for _, v := range l.views {
		if v.name == name {
			return v
		}
	}
	return nil
}

// Stored returns the disk space of the log's segments, in bytes.
func (l *Log) Stored() int64 { return l.stored.Load() }

// HeldUpSince returns since when the policy Block has left the container's pipe alone; zero if it does not.
func (l *Log) HeldUpSince() time.Time {
	if ns := l.heldUp.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// segmentLimit returns the size at which a segment ends. It is smaller if the log's budget is small.
func (l *Log) segmentLimit() int64 { return min(l.spool.segmentSize, max(l.opt.MaxBytes/8, 64<<10)) }

// pread reads what is stored from off up to stop, across segments. It ignores gaps.
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

// change replaces the list that p points to by the result of calling f with a copy of it.
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

// addStored adds n bytes, which may be negative, to the disk space of the log and the spool.
func (l *Log) addStored(n int64) {
	l.stored.Add(n)
	l.spool.stored.Add(n)
}

// lowestReleased returns the offset up to which all views have released the log; its end if there is no view.
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

// Finish ends the log: nothing will be appended any more. It makes durable what is stored, or removes the log if nothing in it
// is needed.
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
		l.createMarker(endedName) // may be missing after a crash of the machine, but then so is the FIFO
	}
	l.maintMu.Unlock()
	if err := l.Sync(); err != nil {
		l.warn(notice.SpoolStreamNotSynced, err)
	}
	l.wakeMaintenance()
}

// AddUnknownGap adds a gap at the log's end for all readers: something of unknown size, or nothing, is missing there. Only the
// goroutine that captures may call it, if there is one.
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

// createMarker creates an empty file of that name beside the segments. If no inode is left for it, createMarker links the lock
// file to the name instead. The content of a marker is never read.
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

// Sync makes durable what was appended, unless all views have released it. It may be called from any goroutine.
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

// isGone reports whether a segment was removed in the meantime, possibly by a reader in another process.
func (l *Log) isGone(g *segment) bool {
	if !slices.Contains(*l.segments.Load(), g) {
		return true
	}
	_, err := os.Stat(g.name)
	return l.spool.opt.Role == Writer && missing(err)
}

// storeManifest writes the manifest and makes the log's directory durable. The caller holds l.maintMu.
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
	// On a journalling file system the first fsync has written everything, and these two have nothing to do.
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
