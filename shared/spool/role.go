// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/notice"
)

// Role is a process's part in a spool. One process may have both parts, as the driver does; or many processes write a log
// each and another one reads them all, as containerd's loggers and the node agent do. Each file then has one owner:
//
//	segment, index       the writer appends; the reader punches holes, and removes what is not the last one
//	losses               the writer's: what never reached the disk
//	gaps                 the reader's: what was given up before a view read it
//	lock                 locked by the process that writes: there is exactly one
//	ended                the writer's, the last thing that it makes
//	limits (of a spool)  the reader's: what writers may take up
//
// A writer makes a segment before it makes the next one, and persists a loss before it makes the segment behind it, so a
// reader that lists the directory first and reads losses then has no hole that it can't explain.
type Role int

// The roles.
const (
	Both Role = iota
	Writer
	Reader
)

const (
	lossesName = "losses"
	lockName   = "lock"
	// LimitsName is the file in a spool's directory in which the reader publishes Limits.
	LimitsName = "limits"
)

// Limits is what writers in other processes may take up, and what they do beyond it.
type Limits struct {
	// MaxBytes bounds all logs, MaxBytesEach one of them; MinFree is how much of the disk stays free.
	MaxBytes     int64 `json:"max_bytes"`
	MaxBytesEach int64 `json:"max_bytes_each"`
	MinFree      int64 `json:"min_free"`
	// Stored is what all logs took up when this was written.
	Stored int64 `json:"stored"`
	// WhenFull and BlockTimeout are as in LogOptions.
	WhenFull     string        `json:"when_full,omitempty"`
	BlockTimeout time.Duration `json:"block_timeout,omitempty"`
}

// DefaultLimits hold where no reader has published any.
var DefaultLimits = Limits{MaxBytes: 1 << 30, MaxBytesEach: 256 << 20, MinFree: 1 << 30, WhenFull: "drop-oldest",
	BlockTimeout: 8 * time.Second}

// PublishLimits tells writers what they may take up. It replaces the file as a whole.
func PublishLimits(dir string, l Limits) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, LimitsName)
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// ReadLimits reads what PublishLimits wrote; DefaultLimits where there is nothing, or nothing that makes sense.
func ReadLimits(dir string) Limits {
	b, err := os.ReadFile(filepath.Join(dir, LimitsName))
	l := DefaultLimits
	if err != nil || json.Unmarshal(b, &l) != nil || l.MaxBytes <= 0 || l.MaxBytesEach <= 0 {
		return DefaultLimits
	}
	if _, err := ParsePolicy(l.WhenFull); err != nil {
		l.WhenFull = DefaultLimits.WhenFull
	}
	return l
}

// ErrLocked is the error of a writer for a log that another process writes.
var ErrLocked = errors.New("another process writes this stream")

// lock makes this process the log's writer, until it closes the log or ends.
func (l *Log) lock() error {
	f, err := os.OpenFile(filepath.Join(l.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("stream %s: %w", l.key, ErrLocked)
		}
		return err
	}
	l.lockFile = f
	return nil
}

// Written reports whether some process writes the log of that key now.
func (s *Spool) Written(key string) bool {
	l := &Log{key: key, dir: filepath.Join(s.opt.Dir, key)}
	if err := l.lock(); err != nil {
		return errors.Is(err, ErrLocked)
	}
	l.lockFile.Close()
	return false
}

// Write opens a log for a writer of its own process: one that exists to append at its end, else a new one. It fails with
// ErrLocked where another process writes it. It waits for no disk: what it makes is durable after the first SyncAll.
func (s *Spool) Write(key string, manifest []byte, o LogOptions) (*Log, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	o.Views = nil
	l := s.newLog(key, o)
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	if err := l.lock(); err != nil {
		return nil, err
	}
	segs, err := s.findSegments(l.dir)
	if err == nil {
		if err = l.readLosses(); errors.Is(err, errDamaged) { // readers find what it told of as holes
			l.warn(notice.SpoolGapsDamaged, err)
			err = nil
		}
	}
	if err == nil && manifest != nil {
		if _, missing := readManifest(l.dir); missing != nil {
			err = s.disk.writeFile(filepath.Join(l.dir, manifestName), append(slices.Clip(manifest), manifestEnd...))
		}
	}
	if err == nil {
		err = l.writeLosses() // now, while there is room: later it is written in place
	}
	if err == nil {
		err = s.add(l)
	}
	if err != nil {
		l.lockFile.Close()
		return nil, fmt.Errorf("stream %s: %w", key, err)
	}
	l.segments.Store(&segs)
	l.end.Store(l.resumedEnd(segs))
	l.remeasure()
	return l, nil
}

// remeasure finds out what the log takes up, since the reader gives back space.
func (l *Log) remeasure() {
	var total int64
	segs := *l.segments.Load()
	kept := segs[:0:0]
	for i, g := range segs {
		var st unix.Stat_t
		err := unix.Stat(g.name, &st)
		if err != nil && i < len(segs)-1 {
			g.close()
			continue // the reader has removed it
		}
		kept = append(kept, g)
		total += st.Blocks * 512
	}
	if len(kept) < len(segs) {
		l.segments.Store(&kept)
	}
	l.addStored(total - l.stored.Load())
}

// remeasureSoon measures again if that was not done just now: the reader may have made room.
func (l *Log) remeasureSoon() {
	if now := l.spool.now(); now.Sub(l.measuredAt) >= 10*time.Millisecond {
		l.measuredAt = now
		l.remeasure()
		l.spool.stored.Store(max(ReadLimits(l.spool.opt.Dir).Stored, l.stored.Load()))
	}
}

// applyLimits takes over what the reader has published. It is called by the goroutine that captures, once a second.
func (l *Log) applyLimits() {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	limits := ReadLimits(l.spool.opt.Dir)
	l.spool.opt.MaxBytes, l.spool.opt.MinFree = limits.MaxBytes, limits.MinFree
	l.opt.MaxBytes = limits.MaxBytesEach
	l.remeasure()
	l.spool.stored.Store(max(limits.Stored, l.stored.Load()))
	l.spool.measure()
}

// Tend does for a writer what maintenance does in a process that also reads: it takes over limits. It is called once a second
// by the goroutine that captures.
func (l *Log) Tend() { l.applyLimits() }

// SyncAll makes durable all that a writer has made. It may be called from any goroutine, and takes as long as the disk does.
func (l *Log) SyncAll() error { return errors.Join(l.syncOwnFiles(), l.Sync()) }

// syncOwnFiles makes durable what a writer has made and changed beside segments.
func (l *Log) syncOwnFiles() error {
	if !l.unsyncedFiles.Swap(false) {
		return nil
	}
	for _, name := range []string{manifestName, lossesName} {
		f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_WRONLY, 0)
		if missing(err) {
			continue
		}
		if err == nil {
			err = errors.Join(l.spool.disk.sync(f), f.Close())
		}
		if err != nil {
			l.unsyncedFiles.Store(true)
			return err
		}
	}
	return l.spool.disk.syncDir(l.dir)
}

// CloseWriter ends this process's part without ending the log: another one may write it.
func (l *Log) CloseWriter() error {
	err := l.Sync()
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	l.index.close()
	for _, g := range *l.segments.Load() {
		g.close()
	}
	return errors.Join(err, l.lockFile.Close())
}

// EndWriter ends the log: nothing will be appended any more. That it has ended is first noted in losses, which needs no room: where
// the disk has none for the marker, or takes so long to sync that this process is killed, the log is not taken for one that
// lacks something.
func (l *Log) EndWriter() error {
	l.writeMu.Lock()
	l.stopDiscarding()
	l.writeMu.Unlock()
	l.noteEnd = true
	err := errors.Join(l.writeLosses(), l.Sync(), l.syncOwnFiles())
	l.ended.Store(true)
	l.createMarker(endedName)
	return errors.Join(err, l.CloseWriter())
}

// readLosses reads what the writer could not store.
func (l *Log) readLosses() error {
	b, err := os.ReadFile(filepath.Join(l.dir, lossesName))
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := decodeGaps(b)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(l.dir, lossesName), err)
	}
	var all []gap
	l.endNoted = false
	for _, e := range entries {
		if e.From >= 0 && e.To > e.From && e.Records >= -1 {
			all = append(all, e.gap())
		}
		l.endNoted = l.endNoted || e.From == e.To && e.Reason == noteOfEnd
	}
	sortGaps(all)
	l.sharedGaps.Store(&all)
	return nil
}

// noteOfEnd is the reason of an entry of losses that is no loss: the writer has stored everything and ended.
const noteOfEnd = "ended"

// EndNoted reports whether the log's writer before this one had taken everything when it ended.
func (l *Log) EndNoted() bool { return l.endNoted }

// maxLosses bounds the writer's list. A reader that is not running for so many losses finds the oldest as holes of unknown
// size.
const maxLosses = 1024

// writeLosses writes down what the writer could not store, also what it is losing now; SyncAll makes it durable. Of what
// lies before the first segment the reader has no need any more: it has removed what was behind it.
func (l *Log) writeLosses() error {
	gaps := *l.sharedGaps.Load()
	if segs := *l.segments.Load(); len(segs) > 0 {
		first := slices.IndexFunc(gaps, func(g gap) bool { return g.to >= segs[0].base })
		if first < 0 {
			first = len(gaps)
		}
		kept := gaps[first:]
		l.sharedGaps.Store(&kept)
		gaps = kept
	}
	if open := l.published.Load(); open != nil {
		gaps = append(slices.Clip(gaps), *open)
	}
	var entries []storedGap
	for _, g := range gaps[max(0, len(gaps)-maxLosses):] {
		entries = append(entries, g.stored(""))
	}
	if end := l.end.Load(); l.noteEnd {
		entries = append(entries, storedGap{From: end, To: end, Reason: noteOfEnd})
	}
	l.unsyncedFiles.Store(true)
	return l.overwriteGaps(lossesName, entries, func(*os.File) error { return nil })
}

// AddLoss tells the readers of a writer's log of bytes that were taken from the pipes before there was a log to store them
// in, and how many lines ended in them.
func (l *Log) AddLoss(bytes, records int64, reason string) error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	l.stopDiscarding()
	end := l.end.Load()
	g := gap{from: end, to: end + bytes, records: records, reason: reason}
	if bytes <= 0 {
		g.to, g.records, g.unknown = end+unknownLen, -1, true
	}
	change(&l.sharedGaps, func(gaps []gap) []gap { return append(gaps, g) })
	l.end.Store(g.to)
	return l.writeLosses()
}

// abandoned reports whether the directory of a log is old, and no writer is about to fill it.
func (s *Spool) abandoned(key string) bool {
	st, err := os.Stat(filepath.Join(s.opt.Dir, key))
	return err == nil && time.Since(st.ModTime()) > time.Minute && !s.Written(key)
}

// Exists reports whether dir has a log of that key.
func Exists(dir, key string) bool { return exists(dir, key) }

// Ended reports whether the log of that key in dir is known to have ended. Of one that does not exist that is not known: it
// may have been delivered and removed, or there was no room to make it.
func Ended(dir, key string) bool {
	return exists(filepath.Join(dir, key), endedName) || exists(filepath.Join(dir, key), deliveredName)
}
