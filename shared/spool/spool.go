// SPDX-License-Identifier: Apache-2.0

// Package spool stores on disk what arrives in pipes until every reader has it. It keeps segments of bytes under one budget,
// a gap for each part that was dropped, and a history for docker logs.
package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/notice"
)

// Spool is a directory of logs under one budget:
//
//	<dir>/<key>/manifest.json             what its owner needs to know after a restart; opaque here
//	<dir>/<key>/00000000000000000000.seg  bytes from that offset on, as they came through the pipe
//	<dir>/<key>/gaps                      what was given up before it was read, and how many frames that was
//	<dir>/<key>/ended                     an empty file, once nothing will be appended any more
//	<dir>/<key>/delivered                 an empty file instead, once all is delivered and kept only for docker logs
type Spool struct {
	opt  Options
	disk disk
	now  func() time.Time
	// segmentSize is the approximate size at which a segment ends. punchAtLeast is how many bytes must be gained before holes
	// are punched into one.
	segmentSize, punchAtLeast int64

	stored         atomic.Int64 // disk space of all logs in bytes: segments, and logOverhead for each log
	freeShortfall  atomic.Int64 // how many bytes too few are free on the disk; negative if enough are
	minFree        atomic.Int64 // how many bytes must stay free
	inodeShortfall atomic.Int64 // how many inodes too few are free
	openFiles      atomic.Int64 // segments that are open
	descriptors    atomic.Bool  // an open failed for lack of descriptors: idle segments are closed at once
	noSplice       atomic.Bool
	noPunch        atomic.Bool
	closed         atomic.Bool
	evicted        Evicted // of all logs; its fields are accessed atomically

	wakePending atomic.Bool
	wakeCh      chan struct{} // wakes the maintenance goroutine

	mu   sync.Mutex // guards logs
	logs map[string]*Log

	stop context.CancelFunc
	done sync.WaitGroup
}

// Options is what a spool is opened with.
type Options struct {
	// Dir is created if it does not exist.
	Dir string
	// Role says whether this process reads the spool, writes it, or both.
	Role Role
	// MaxBytes bounds the disk space of all logs together.
	MaxBytes int64
	// MinFree is how many bytes of the disk must stay free, but at most a tenth of the disk.
	MinFree int64
	// MaxEnded bounds the number of ended logs; 0 means DefaultMaxEnded. A quarter of them may be kept only for docker logs.
	// Beyond the bound these are removed first, then the oldest of the container that has most.
	MaxEnded int
	// MaxOpen bounds the number of open segments; 0 means a quarter of the process's limit of descriptors.
	MaxOpen int64
	// SyncInterval is the interval at which appended bytes are made durable.
	SyncInterval time.Duration
	// Log receives messages about what fails.
	Log *slog.Logger
	// Evicted is called for a log that was removed before all readers had it, because too many have ended. It may be nil.
	Evicted func(l *Log, lost Evicted)
}

// Evicted is what was lost with logs that were removed unread. Each reader that lost something counts.
type Evicted struct {
	Logs, Bytes int64
	// Records is how many records were lost, as far as they could be counted.
	Records int64
}

// DefaultMaxEnded bounds the cost of ended containers. A container that is restarted every second would otherwise leave
// 86,400 directories a day, with four inodes and a few KiB of memory each.
const DefaultMaxEnded = 4096

// OpenWriter opens a spool for a process that only writes. It starts no goroutines: the caller calls Log.Tend regularly.
func OpenWriter(o Options) *Spool {
	o.Role = Writer
	return newSpool(o)
}

// Open opens the spool in o.Dir. The logs that an earlier process left there wait for Resume. A directory that can't be
// written is not an error: it is logged once, and logs discard their input until it can be written.
func Open(o Options) *Spool {
	s := newSpool(o)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		notice.SpoolUnusable.Log(o.Log, slog.Any("error", err))
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.maintenanceLoop(ctx) })
	s.done.Go(func() { s.syncEvery(ctx) })
	return s
}

// The approximate sizes of segments. A raw log creates two files for each, which with small segments was a fifth of the cost of
// capture on ext4, which looks for an inode that was not deleted just now; with larger ones it is a twentieth. Readers give back
// the space of a segment before it is full.
const (
	defaultSegmentSize = 4 << 20
	writerSegmentSize  = 16 << 20
)

func newSpool(o Options) *Spool {
	if o.MaxEnded == 0 {
		o.MaxEnded = DefaultMaxEnded
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = defaultMaxOpen()
	}
	s := &Spool{
		opt: o, disk: realDisk, now: time.Now, segmentSize: defaultSegmentSize, punchAtLeast: 64 << 10,
		wakeCh: make(chan struct{}, 1), logs: map[string]*Log{},
	}
	if o.Role == Writer {
		s.segmentSize = writerSegmentSize
	}
	s.freeShortfall.Store(math.MinInt64 / 2)
	s.inodeShortfall.Store(math.MinInt64 / 2)
	return s
}

// defaultMaxOpen returns a quarter of the limit of descriptors, which leaves most of them for pipes and connections.
func defaultMaxOpen() int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		limit.Cur = 1024
	}
	return max(int64(min(limit.Cur, 1<<16))/4, 16)
}

// Stored is a log that an earlier process left.
type Stored struct {
	Key string
	// Manifest is what Create was given; nil if it is damaged.
	Manifest []byte
	// Ended reports that nothing will be appended to it any more, Delivered that it stays only to be shown.
	Ended, Delivered bool
}

// maxManifest bounds the size of a manifest, which holds a container's tags and declarations, in bytes.
const maxManifest = 4 << 20

// Stored returns the logs that an earlier process left. A directory without a complete manifest is removed if it holds no
// segments and no process may be about to fill it. If it holds some, it is returned without a manifest, and the error names it.
func (s *Spool) Stored() ([]Stored, error) {
	entries, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		return nil, err
	}
	var found []Stored
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || checkKey(e.Name()) != nil || s.Log(e.Name()) != nil {
			continue
		}
		dir := filepath.Join(s.opt.Dir, e.Name())
		manifest, err := readManifest(dir)
		if err != nil {
			if segs, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(segs) == 0 {
				if s.opt.Role == Both || s.opt.Role == Reader && s.abandoned(e.Name()) {
					errs = append(errs, os.RemoveAll(dir))
				}
				continue
			}
			errs = append(errs, fmt.Errorf("%s: unreadable manifest: %w", dir, err))
		}
		delivered := exists(dir, deliveredName)
		found = append(found, Stored{e.Name(), manifest, delivered || exists(dir, endedName), delivered})
	}
	return found, errors.Join(errs...)
}

// readManifest reads a log's manifest, under its present name or that of earlier versions.
func readManifest(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if missing(err) {
		f, err = os.Open(filepath.Join(dir, oldManifestName))
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxManifest:
		return nil, fmt.Errorf("%s is longer than %d bytes", f.Name(), maxManifest)
	case !bytes.HasSuffix(b, manifestEnd):
		return nil, fmt.Errorf("%s is cut short", f.Name())
	}
	return bytes.TrimSuffix(b, manifestEnd), nil
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// manifestEnd is appended to a manifest, so that one cut short by a crash is recognised.
var manifestEnd = []byte("\n")

// Create makes a log and returns once its manifest is durable. If the manifest can't be stored, because the disk is full or
// read-only, Create logs the reason and returns the log nevertheless, so that the container can run; storing the manifest is
// retried. A key matches [0-9A-Za-z_-]+ and must never be reused.
func (s *Spool) Create(key string, manifest []byte, o LogOptions) (*Log, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	l := s.newLog(key, o)
	if _, err := os.Lstat(l.dir); err == nil {
		return nil, fmt.Errorf("stream %s: %w", key, ErrExists)
	}
	l.manifest = append(bytes.Clone(manifest), manifestEnd...)
	if err := s.add(l); err != nil {
		return nil, err
	}
	l.maintMu.Lock()
	defer l.maintMu.Unlock()
	if err := l.storeManifest(); err != nil {
		s.noteOpenError(err)
		l.warn(notice.SpoolManifestNotStored, err)
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

// logOverhead is the disk space of a log besides its segments: its directory, manifest and gap file, a block each.
const logOverhead = 3 * blockSize

func (s *Spool) remove(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logs, l.key)
	s.stored.Add(-logOverhead)
}

func (s *Spool) add(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[l.key] != nil {
		return fmt.Errorf("stream %s: %w", l.key, ErrExists)
	}
	s.logs[l.key] = l
	s.stored.Add(logOverhead)
	return nil
}

// Resume opens a log that Stored has returned. Views read from their checkpoints on, and new bytes are appended at the end.
// The end is never before a checkpoint: a crash of the machine may have lost bytes that were acknowledged but not synced,
// and their offsets must not be given to other bytes.
//
// A view without a checkpoint takes over the position and the gaps of the reader of its group that is furthest behind. So an
// output that replaces another, or joins it, gets what that one did not acknowledge. View.TookOver returns where the view
// begins.
func (s *Spool) Resume(key string, o LogOptions) (*Log, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	l := s.newLog(key, o)
	segs, err := s.findSegments(l.dir)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", key, err)
	}
	if err := l.readGapFile(); err != nil {
		l.warn(notice.SpoolGapsDamaged, err)
	}
	l.takeOver()
	if err := s.add(l); err != nil {
		return nil, err
	}
	for _, g := range segs {
		l.addStored(g.cost())
	}
	l.segments.Store(&segs)
	end := l.resumedEnd(segs)
	l.end.Store(end)
	if l.historyOnly = l.hasMarker(deliveredName); l.historyOnly {
		l.views = nil
	}
	for _, v := range l.views {
		v.fillHoles(segs, end)
	}
	l.ended.Store(l.historyOnly || l.hasMarker(endedName))
	l.endedAt = l.markedAt()
	l.wakeMaintenance()
	return l, nil
}

// resumedEnd returns the offset at which appending resumes: after everything that was stored, acknowledged or dropped.
func (l *Log) resumedEnd(segs []*segment) (end int64) {
	for _, g := range segs {
		end = max(end, g.end())
	}
	for _, v := range l.views {
		end = max(end, v.released.Load())
		if n := len(v.gaps); n > 0 {
			end = max(end, v.gaps[n-1].to)
			l.lastBoundary.Store(max(l.lastBoundary.Load(), v.gaps[n-1].to))
		}
	}
	if gaps := *l.sharedGaps.Load(); len(gaps) > 0 {
		end = max(end, gaps[len(gaps)-1].to)
	}
	return end
}

// markedAt returns when the log was marked as ended; the present time if it was not.
func (l *Log) markedAt() time.Time {
	for _, name := range []string{endedName, deliveredName} {
		if st, err := os.Stat(filepath.Join(l.dir, name)); err == nil {
			return st.ModTime()
		}
	}
	return l.spool.now()
}

// Log returns the log with that key, or nil if it is not open.
func (s *Spool) Log(key string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[key]
}

// Logs returns all open logs in ascending order of their keys.
func (s *Spool) Logs() []*Log {
	s.mu.Lock()
	logs := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		logs = append(logs, l)
	}
	s.mu.Unlock()
	slices.SortFunc(logs, func(a, b *Log) int { return strings.Compare(a.key, b.key) })
	return logs
}

// StoredBytes returns the disk space of all logs.
func (s *Spool) StoredBytes() int64 { return s.stored.Load() }

// EvictedTotal returns what was lost, since the spool was opened, with logs that were removed unread.
func (s *Spool) EvictedTotal() Evicted {
	return Evicted{Logs: atomic.LoadInt64(&s.evicted.Logs), Bytes: atomic.LoadInt64(&s.evicted.Bytes),
		Records: atomic.LoadInt64(&s.evicted.Records)}
}

// ReleaseDescriptors closes the segments that are not in use at the moment, for a caller that has run out of descriptors.
func (s *Spool) ReleaseDescriptors() { s.closeIdle(true) }

// noteOpenError has idle segments closed if err says that the process or the machine has run out of descriptors.
func (s *Spool) noteOpenError(err error) {
	if outOfDescriptors(err) {
		s.descriptors.Store(true)
		s.wake()
	}
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// Close makes everything durable and stops the spool. Unread bytes wait for the next process. Close returns when ctx ends,
// at the latest. Files stay open, because a reader or writer that is still busy must not find another file under its
// descriptor.
func (s *Spool) Close(ctx context.Context) error {
	s.closed.Store(true)
	s.stop()
	finished := make(chan error, 1)
	go func() {
		s.done.Wait()
		errs := s.syncAll()
		for _, l := range s.Logs() {
			l.maintMu.Lock()
			if !l.removed && (len(*l.sharedGaps.Load()) > 0 || l.published.Load() != nil) {
				errs = errors.Join(errs, l.writeGapFile(nil))
			}
			l.maintMu.Unlock()
		}
		finished <- errs
	}()
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return fmt.Errorf("spool: not everything was made durable in time: %w", ctx.Err())
	}
}
