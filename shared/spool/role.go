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

// Role is a process's part in a spool. One process may have both parts, as the driver does. Or many processes write one log
// each and another one reads them all, as containerd's loggers and the node agent do. Each file then has one owner:
//
//	segment, index       the writer appends; the reader punches holes, and removes all but the last one
//	losses               the writer's: what never reached the disk
//	gaps                 the reader's: what was given up before a view read it
//	lock                 locked by the process that writes: there is exactly one
//	ended                the writer's, the last file that it creates
//	limits (of a spool)  the reader's: how much disk space writers may use
//
// A writer creates segments in order, and persists a loss before it creates the segment after it. So a reader that first lists
// the directory and then reads losses finds no hole that it can't explain.
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

// Limits is how much disk space writers in other processes may use, and what they do beyond it.
type Limits struct {
	// MaxBytes bounds all logs together, MaxBytesEach each log. MinFree is how much of the disk must stay free.
	MaxBytes     int64 `json:"max_bytes"`
	MaxBytesEach int64 `json:"max_bytes_each"`
	MinFree      int64 `json:"min_free"`
	// Stored is the disk space of all logs when this was written.
	Stored int64 `json:"stored"`
	// WhenFull and BlockTimeout are as in LogOptions.
	WhenFull     string        `json:"when_full,omitempty"`
	BlockTimeout time.Duration `json:"block_timeout,omitempty"`
}

// DefaultLimits apply if no reader has published any.
var DefaultLimits = Limits{MaxBytes: 1 << 30, MaxBytesEach: 256 << 20, MinFree: 1 << 30, WhenFull: "drop-oldest",
	BlockTimeout: 8 * time.Second}

// PublishLimits publishes limits to writers. It replaces the file atomically.
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

// ReadLimits returns the limits that PublishLimits wrote; DefaultLimits if there are none, or none that are valid.
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

// ErrLocked is the error of Write for a log that another process writes.
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

// Written reports whether a process is writing the log with that key.
func (s *Spool) Written(key string) bool {
	l := &Log{key: key, dir: filepath.Join(s.opt.Dir, key)}
	if err := l.lock(); err != nil {
		return errors.Is(err, ErrLocked)
	}
	l.lockFile.Close()
	return false
}

// Write opens a log for a process that only writes it, and creates it if it does not exist. Writing continues at its end. Write
// fails with ErrLocked if another process writes the log. It does not sync: what it creates is durable after the first SyncAll.
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
		if err = l.readLosses(); errors.Is(err, errDamaged) { // readers find the losses in it as holes
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
		err = l.writeLosses() // creates the file while there is room; later it is written in place
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

// remeasure measures the log's disk space, which the reader gives back in another process.
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

// remeasureSoon measures again if the last measurement is at least 10 ms old: the reader may have made room.
func (l *Log) remeasureSoon() {
	if now := l.spool.now(); now.Sub(l.measuredAt) >= 10*time.Millisecond {
		l.measuredAt = now
		l.remeasure()
		l.spool.stored.Store(max(ReadLimits(l.spool.opt.Dir).Stored, l.stored.Load()))
	}
}

// applyLimits applies the limits that the reader has published. The goroutine that captures calls it once a second.
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

// Tend is the maintenance of a process that only writes: it applies the published limits. The goroutine that captures calls it
// once a second.
func (l *Log) Tend() { l.applyLimits() }

// SyncAll makes durable everything that a writer has written. It may be called from any goroutine, and waits for the disk.
func (l *Log) SyncAll() error { return errors.Join(l.syncOwnFiles(), l.Sync()) }

// syncOwnFiles makes durable the files that a writer has written besides segments.
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

// CloseWriter closes the log without ending it: another process may continue to write it.
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

// EndWriter ends the log: nothing will be appended any more. It first notes the end in losses, which needs no room. If the disk
// has no room for the marker, or is so slow to sync that this process is killed, the note shows that the log lacks nothing.
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

// readLosses reads the gaps of what the writer could not store.
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

// noteOfEnd is the reason of an entry in losses that is not a loss: the writer took everything from the pipes and ended.
const noteOfEnd = "ended"

// EndNoted reports whether the log's previous writer noted that it had taken everything and ended.
func (l *Log) EndNoted() bool { return l.endNoted }

// maxLosses bounds the writer's list. A reader that does not run for more losses than that finds the oldest as holes with an
// unknown number of records.
const maxLosses = 1024

// writeLosses writes the gaps of what the writer could not store, including the one that is growing. SyncAll makes them durable.
// It drops gaps before the first segment, which the reader has passed: it has removed the segments after them.
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

// AddLoss adds a gap for bytes that a writer took from the pipes before it had a log to store them in. records is the number of
// lines that ended in them. If bytes is 0, nothing is known about the loss.
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

// abandoned reports whether the directory of a log is older than a minute and no process writes the log.
func (s *Spool) abandoned(key string) bool {
	st, err := os.Stat(filepath.Join(s.opt.Dir, key))
	return err == nil && time.Since(st.ModTime()) > time.Minute && !s.Written(key)
}

// Exists reports whether dir has a log with that key.
func Exists(dir, key string) bool { return exists(dir, key) }

// Ended reports whether the log with that key in dir is known to have ended. It reports false if the log does not exist: it may
// have been delivered and removed, or there was no room to create it.
func Ended(dir, key string) bool {
	return exists(filepath.Join(dir, key), endedName) || exists(filepath.Join(dir, key), deliveredName)
}
