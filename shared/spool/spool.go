// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Spool is a directory of logs under one budget:
//
//	<dir>/<key>/journal.json              what its owner needs to know after a restart; opaque here
//	<dir>/<key>/00000000000000000000.seg  bytes from that offset on, as they came through the FIFO
//	<dir>/<key>/gaps                      what was given up before it was read, and how many frames that was
//	<dir>/<key>/ended                     an empty file, once nothing will be appended any more
type Spool struct {
	opt  Options
	disk disk
	now  func() time.Time
	// segmentSize is where a segment ends, about; punchAtLeast is how much space has to be gained before a hole is
	// punched into one.
	segmentSize, punchAtLeast int64

	stored   atomic.Int64 // bytes on disk, of all logs
	short    atomic.Int64 // by how much the disk has less free than it is to have; negative where it has more
	floor    atomic.Int64 // how much it is to have free
	noSplice atomic.Bool
	noPunch  atomic.Bool
	closed   atomic.Bool
	awake    atomic.Bool
	bell     chan struct{} // wakes the keeper

	mu   sync.Mutex
	logs map[string]*Log

	stop context.CancelFunc
	done sync.WaitGroup
}

// Options is what a spool is opened with.
type Options struct {
	// Dir is made where it does not exist.
	Dir string
	// MaxBytes is what all logs together may take up on disk.
	MaxBytes int64
	// MinFree is how much of the disk is to stay free, whoever fills it; at most a tenth of the disk is.
	MinFree int64
	// SyncInterval is how often what was appended is made durable.
	SyncInterval time.Duration
	// Log is where the spool says what it can't do.
	Log *slog.Logger
}

// Open opens the spool in o.Dir. The logs that an earlier process left there wait for Resume. A directory that can't be
// written is no error: it is said once, and logs lose what they are given until it can.
func Open(o Options) *Spool {
	s := newSpool(o)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		o.Log.Error("spool: no directory to keep logs in; they are lost until there is", slog.Any("error", err))
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.keep(ctx) })
	s.done.Go(func() { s.syncEvery(ctx) })
	return s
}

func newSpool(o Options) *Spool {
	s := &Spool{
		opt: o, disk: realDisk, now: time.Now, segmentSize: 4 << 20, punchAtLeast: 64 << 10,
		bell: make(chan struct{}, 1), logs: map[string]*Log{},
	}
	s.short.Store(math.MinInt64 / 2)
	return s
}

// Stored is a log that an earlier process left.
type Stored struct {
	Key     string
	Journal []byte
	// Ended says that nothing will be appended to it any more.
	Ended bool
}

// Stored finds what an earlier process left. A directory without a whole journal was never promised to anybody: it is
// removed where it holds nothing, else reported in the error, beside the logs that are well.
func (s *Spool) Stored() ([]Stored, error) {
	entries, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		return nil, err
	}
	var found []Stored
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(s.opt.Dir, e.Name())
		if !e.IsDir() || s.Log(e.Name()) != nil {
			continue
		}
		journal, err := os.ReadFile(filepath.Join(dir, journalName))
		if err != nil || !bytes.HasSuffix(journal, journalEnd) {
			if segs, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(segs) == 0 {
				errs = append(errs, os.RemoveAll(dir))
			} else {
				errs = append(errs, fmt.Errorf("%s: its journal is damaged, nothing can be told of what it holds: %w", dir,
					errors.Join(err, errors.New("journal is not whole"))))
			}
			continue
		}
		_, err = os.Stat(filepath.Join(dir, endedName))
		found = append(found, Stored{e.Name(), bytes.TrimSuffix(journal, journalEnd), err == nil})
	}
	return found, errors.Join(errs...)
}

// journalEnd is written behind a journal, so that one which a crash cut short is known.
var journalEnd = []byte("\n")

// Create makes a log and returns when its journal is durable. Where that can't be had, because the disk is full or
// read-only, it says so, keeps the journal in memory, tries again from time to time, and does not stand in the way of
// the container. A key is [0-9A-Za-z_-]+ and never used twice.
func (s *Spool) Create(key string, journal []byte, o LogOptions) (*Log, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	l := s.newLog(key, o)
	if _, err := os.Lstat(l.dir); err == nil {
		return nil, fmt.Errorf("stream %s: %w", key, ErrExists)
	}
	l.journal = append(bytes.Clone(journal), journalEnd...)
	if err := s.add(l); err != nil {
		return nil, err
	}
	l.care.Lock()
	defer l.care.Unlock()
	if err := l.keepJournal(); err != nil {
		l.warn("journal not written; a restart before it can be would lose this stream", err)
	}
	return l, nil
}

// ErrExists is the error of Create for a key that was used before, and of Resume for a log that is open.
var ErrExists = errors.New("there is a stream of that key already")

func checkKey(key string) error {
	bad := strings.Trim(key, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-")
	if key == "" || bad != "" {
		return fmt.Errorf("%q can't be the key of a stream", key)
	}
	return nil
}

func (s *Spool) add(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[l.key] != nil {
		return fmt.Errorf("stream %s: %w", l.key, ErrExists)
	}
	s.logs[l.key] = l
	return nil
}

// Resume opens a log that Stored found, to read on from the views' checkpoints and to append at its end. The end is
// never before a checkpoint: a crash of the machine may have lost bytes that were read, acknowledged and not yet synced,
// and their offsets must not be given to other bytes.
func (s *Spool) Resume(key string, o LogOptions) (*Log, error) {
	l := s.newLog(key, o)
	segs, err := openSegments(l.dir)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", key, err)
	}
	if err := l.readLedger(); err != nil {
		l.warn("what was dropped earlier can no longer be told in records", err)
	}
	if err := s.add(l); err != nil {
		closeSegments(segs)
		return nil, err
	}
	var end int64
	for _, g := range segs {
		end = max(end, g.end())
		l.addStored(g.size.Load())
	}
	l.segments.Store(&segs)
	for _, v := range l.views {
		end = max(end, v.released.Load())
		if n := len(v.gaps); n > 0 {
			end = max(end, v.gaps[n-1].to)
			l.fenced.Store(max(l.fenced.Load(), v.gaps[n-1].to))
		}
	}
	if losses := *l.losses.Load(); len(losses) > 0 {
		end = max(end, losses[len(losses)-1].to)
	}
	l.end.Store(end)
	if l.kept = l.marked(deliveredName); l.kept {
		l.views = nil
	}
	for _, v := range l.views {
		v.fillHoles(segs, end)
	}
	l.ended.Store(l.marked(endedName))
	l.touch()
	return l, nil
}

// Log is the log of that key, nil where it is not open.
func (s *Spool) Log(key string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[key]
}

// Logs are all open logs, by ascending key.
func (s *Spool) Logs() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		logs = append(logs, l)
	}
	slices.SortFunc(logs, func(a, b *Log) int { return strings.Compare(a.key, b.key) })
	return logs
}

// StoredBytes is what all logs take up on disk.
func (s *Spool) StoredBytes() int64 { return s.stored.Load() }

// Close makes everything durable and stops; what is not read yet waits for the next process. It returns when ctx ends,
// at the latest. Files stay open: whoever still reads or appends must not find others under their descriptors.
func (s *Spool) Close(ctx context.Context) error {
	s.closed.Store(true)
	s.stop()
	finished := make(chan error, 1)
	go func() {
		s.done.Wait()
		errs := s.syncAll()
		for _, l := range s.Logs() {
			l.care.Lock()
			if len(*l.losses.Load()) > 0 || l.losing.Load() != nil {
				errs = errors.Join(errs, l.writeLedger(nil))
			}
			l.care.Unlock()
		}
		finished <- errs
	}()
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return fmt.Errorf("spool: not all of it could be made durable in time: %w", ctx.Err())
	}
}
