// SPDX-License-Identifier: Apache-2.0

// Package spool keeps on disk what arrives in pipes until every reader has it: segments of bytes under one budget, with a
// gap for each part that had to be given up, and a history for docker logs.
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
//	<dir>/<key>/delivered                 an empty file instead, once it is also kept for docker logs alone
type Spool struct {
	opt  Options
	disk disk
	now  func() time.Time
	// segmentSize is about where a segment ends; punchAtLeast is how much space has to be gained before a hole is punched
	// into one.
	segmentSize, punchAtLeast int64

	stored         atomic.Int64 // what all logs take up of the disk: segments, and what each costs beside them
	freeShortfall  atomic.Int64 // by how much the disk has less free than it must have; negative where it has more
	minFree        atomic.Int64 // how much it must have free
	inodeShortfall atomic.Int64 // the same in inodes
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
	// Role is this process's part in it.
	Role Role
	// MaxBytes is what all logs together may take up of the disk.
	MaxBytes int64
	// MinFree is how much of the disk must stay free, whoever fills it; at most a tenth of the disk is kept free.
	MinFree int64
	// MaxEnded is how many logs that have ended are kept; 0 is DefaultMaxEnded. A quarter of them may be kept for docker
	// logs alone. Beyond it these go first, then the oldest of the container that has most of them.
	MaxEnded int
	// MaxOpen is how many segments stay open at once; 0 is a quarter of the descriptors that the process may have.
	MaxOpen int64
	// SyncInterval is how often what was appended is made durable.
	SyncInterval time.Duration
	// Log receives what the spool fails to do.
	Log *slog.Logger
	// Evicted is called for a log that was removed before all readers had it, because too many have ended. It may be nil.
	Evicted func(l *Log, lost Evicted)
}

// Evicted is what was lost with logs that were removed unread. Each reader that lost something counts.
type Evicted struct {
	Logs, Bytes int64
	// Records is how many records were lost where they could be counted.
	Records int64
}

// DefaultMaxEnded bounds what ended containers cost: one that is started again every second would else leave 86,400
// directories a day, of four inodes and some KiB of memory each.
const DefaultMaxEnded = 4096

// OpenWriter opens a spool for a process that only writes, without goroutines of its own: Log.Tend does what is to be
// done.
func OpenWriter(o Options) *Spool {
	o.Role = Writer
	return newSpool(o)
}

// Open opens the spool in o.Dir. The logs that an earlier process left there wait for Resume. A directory that can't be
// written is no error: it is reported once, and logs lose what they are given until it can.
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

// Segments are about as large as this. A raw log makes two files for each, and making them was a fifth of the cost of capture
// on ext4, which looks for an inode that was not deleted just now: with larger ones it is a twentieth. Readers give back the
// space of a segment before it is full.
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

// defaultMaxOpen leaves most descriptors to pipes and connections.
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
	// Manifest is what Create was given; nil where it is damaged.
	Manifest []byte
	// Ended reports that nothing will be appended to it any more, Delivered that it stays only to be shown.
	Ended, Delivered bool
}

// maxManifest bounds what is read of a manifest: one holds a container's tags and declarations.
const maxManifest = 4 << 20

// Stored finds what an earlier process left. A directory without a whole manifest was never promised to anybody: it is
// removed where it holds nothing, else it is found without one, and the error names it.
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

// readManifest reads a log's manifest under its name of today, or the one it had once.
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

// manifestEnd is written behind a manifest, so that one which a crash cut short is recognised.
var manifestEnd = []byte("\n")

// Create makes a log and returns when its manifest is durable. Where that fails, because the disk is full or read-only,
// it logs the reason, keeps the manifest in memory, retries, and does not hold the container up. A key is
// [0-9A-Za-z_-]+ and never used twice.
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

// logOverhead is what a log costs of the disk beside its segments: its directory, manifest and gap file, a block each.
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

// Resume opens a log that Stored found, to read from the views' checkpoints on and to append at its end. The end is
// never before a checkpoint: a crash of the machine may have lost bytes that were read, acknowledged and not yet synced,
// and their offsets must not be given to other bytes.
//
// A view without a checkpoint takes over from the reader of its group that is furthest behind, with its position and its
// gaps: an output that replaces another one, or joins it, gets what that one did not acknowledge. View.Start is where
// it begins.
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

// resumedEnd is where appending resumes: behind everything that was stored, acknowledged or given up.
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

// markedAt is when the log was marked as ended; now where it was not.
func (l *Log) markedAt() time.Time {
	for _, name := range []string{endedName, deliveredName} {
		if st, err := os.Stat(filepath.Join(l.dir, name)); err == nil {
			return st.ModTime()
		}
	}
	return l.spool.now()
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
	logs := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		logs = append(logs, l)
	}
	s.mu.Unlock()
	slices.SortFunc(logs, func(a, b *Log) int { return strings.Compare(a.key, b.key) })
	return logs
}

// StoredBytes is what all logs take up of the disk.
func (s *Spool) StoredBytes() int64 { return s.stored.Load() }

// EvictedTotal is what was lost since the spool was opened with logs that were removed unread.
func (s *Spool) EvictedTotal() Evicted {
	return Evicted{Logs: atomic.LoadInt64(&s.evicted.Logs), Bytes: atomic.LoadInt64(&s.evicted.Bytes),
		Records: atomic.LoadInt64(&s.evicted.Records)}
}

// ReleaseDescriptors closes segments that are not being written or read at this moment. It is for whoever has run out of
// descriptors.
func (s *Spool) ReleaseDescriptors() { s.closeIdle(true) }

// noteOpenError has idle segments closed where err says that the process or the machine has no descriptor left.
func (s *Spool) noteOpenError(err error) {
	if outOfDescriptors(err) {
		s.descriptors.Store(true)
		s.wake()
	}
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

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
