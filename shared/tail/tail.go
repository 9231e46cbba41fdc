// SPDX-License-Identifier: Apache-2.0

// Package tail reads the files that applications write. It finds them, tells them apart whatever is done to their names,
// and offers each as a stream of bytes that survives rotation, truncation and restarts.
package tail

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/stream"
)

// Store is what remembers, across restarts, which file is which stream, and how far each was acknowledged.
type Store interface {
	Each(func(checkpoint.Key, checkpoint.Entry)) error
	Load(checkpoint.Key) (checkpoint.Entry, bool, error)
	Commit(put map[checkpoint.Key]checkpoint.Entry, forget []checkpoint.Key) error
}

// Watch is what one declaration wants of the files.
type Watch struct {
	// Name is the declaration's. Pattern is an absolute path with * ? [] ** {a,b}.
	Name, Pattern string
	// Version is anything that changes with the declaration: a watch that is set again with the same one goes on.
	Version string
	// Exclude are patterns of paths, or, without a slash, of names that are not read.
	Exclude []string
	// IgnoreOlder, if not 0, skips what is there in a file that was not written for that long when first seen.
	IgnoreOlder time.Duration
	// FromEnd skips what is there when the declaration is seen for the first time.
	FromEnd bool
	// Outputs are the names of those that it goes to. Each has a view of its own.
	Outputs []string
	// Attach hands a stream to the pipeline; path is the source that its records name. done is to be called once, when
	// the stream has ended, or detach was called, and all that was read of it is acknowledged. Its checkpoint is to be
	// kept then: the same stream may be attached again, when the file has grown.
	Attach func(s stream.Stream, path, output string, done func()) (detach func(), err error)

	glob    glob
	started bool      // its files were looked for once
	began   time.Time // when that was
	newborn bool      // nothing of it is in the store
}

func (w *Watch) String() string { return w.Name + "=" + w.Pattern }

// Config is what a Tailer is made of. Zero values stand for the defaults.
type Config struct {
	Store Store
	Log   *slog.Logger
	// MaxOpen bounds the handles of files. By default it is half of what the process may open, at most 1024.
	MaxOpen int
	// MaxDeleted bounds the bytes on disk that are held back because the sidecar has not read them yet although they
	// were removed. By default it is 1 GiB.
	MaxDeleted int64
	// DeleteAfter, if not 0, removes rotated files that are acknowledged and were quiet for that long.
	DeleteAfter time.Duration
	// DropPageCache gives back the page cache of what was acknowledged.
	DropPageCache bool
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

const (
	busyEvery   = 100 * time.Millisecond // between two looks at a file that grew lately
	scanEvery   = time.Second            // between two scans, without a hint
	nudgePause  = 20 * time.Millisecond  // before Run answers to a wish or a hint
	busyFor     = 10 * time.Second       // how long after it grew a file is looked at often
	quietFor    = 5 * time.Second        // after which a rotated file is taken to have ended
	restAfter   = time.Minute            // after which a file that is read to its end costs the pipeline nothing
	searchFor   = 5 * time.Second        // how long the bytes of a truncated file are looked for in a copy
	rememberFor = time.Minute            // how long a removed file is known by its content, so that its copy is not read
	copyPause   = 2 * time.Second        // after which something that was being copied or compressed is complete
)

// Tailer finds and follows files. Its methods are safe for concurrent use.
type Tailer struct {
	cfg     Config
	log     *slog.Logger
	wakeUp  chan struct{}
	hinted  atomic.Bool // something was created, renamed or removed
	hints   *hints
	cleaner *cleaner

	mu      sync.Mutex
	watches []*Watch
	volumes map[string]*volume
	files   map[inode]*file // by where their bytes are now
	faded   []*file         // whose bytes are gone
	// active are those of files that something is to be done about, or was lately: the others, of which there may be
	// thousands, are only looked at now and then.
	active   map[*file]struct{}
	swept    time.Time // when all were looked at
	changed  bool      // the declarations, since retired
	retired  time.Time // when it was last looked for positions that nobody asks for
	past     *past
	held     map[inode]*arrival
	fresh    map[inode]*found
	trouble  troubles
	counts   Counts
	scans    int
	opens    int // at least as many files are open
	reopens  int // of this step
	scanned  time.Time
	draining bool
	open     func(v *volume, rel string) (*os.File, stat, error) // volume.openFile, unless a test breaks it
}

// New makes a Tailer that goes on where the store says. It reads nothing until there are watches and Run is called.
func New(cfg Config) (*Tailer, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxOpen == 0 {
		cfg.MaxOpen = defaultMaxOpen()
	}
	if cfg.MaxDeleted == 0 {
		cfg.MaxDeleted = 1 << 30
	}
	p, err := loadPast(cfg.Store)
	if err != nil {
		return nil, err
	}
	t := &Tailer{
		cfg: cfg, log: cfg.Log, wakeUp: make(chan struct{}, 1), volumes: map[string]*volume{}, files: map[inode]*file{}, active: map[*file]struct{}{},
		past: p, held: map[inode]*arrival{}, fresh: map[inode]*found{}, open: (*volume).openFile,
	}
	t.trouble.log = cfg.Log
	t.cleaner = newCleaner(cfg.Log)
	return t, nil
}

// Set makes watches the ones that are followed. What a watch with the same Name and Version has begun goes on; files of
// those that are gone are let go of, their checkpoints are kept. An error is of one declaration; the others are set.
func (t *Tailer) Set(watches []Watch) []*WatchError {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []*WatchError
	var now []*Watch
	for _, w := range watches {
		i := slices.IndexFunc(t.watches, func(o *Watch) bool { return o.Name == w.Name })
		if i >= 0 && t.watches[i].Version == w.Version && t.watches[i].Pattern == w.Pattern {
			now = append(now, t.watches[i])
			continue
		}
		g, err := compile(w.Pattern)
		if err != nil {
			errs = append(errs, &WatchError{w.Name, w.Pattern, err})
			continue
		}
		w.glob = g
		w.newborn = !t.past.declarations[w.Name]
		if i >= 0 {
			w.started, w.began, w.newborn = t.watches[i].started, t.watches[i].began, t.watches[i].newborn
		}
		now = append(now, &w)
	}
	t.replace(now)
	t.nudge()
	return errs
}

// WatchError is a pattern that can't be followed.
type WatchError struct {
	Declaration, Pattern string
	Err                  error
}

func (e *WatchError) Error() string {
	return "declaration " + e.Declaration + ": " + e.Pattern + ": " + e.Err.Error()
}

func (e *WatchError) Unwrap() error { return e.Err }

// replace puts watches in the place of those that were followed.
func (t *Tailer) replace(watches []*Watch) {
	byName := map[string]*Watch{}
	bases := map[string]bool{}
	for _, w := range watches {
		byName[w.Name] = w
		bases[w.glob.base] = true
		if t.volumes[w.glob.base] == nil {
			t.volumes[w.glob.base] = &volume{base: w.glob.base}
		}
	}
	for f := range t.all() {
		var kept []*Watch
		for _, w := range f.watches {
			if n := byName[w.Name]; n == w || n != nil && n.Pattern == w.Pattern {
				kept = append(kept, n)
			}
		}
		f.letGo(func(v *view) bool {
			return !slices.ContainsFunc(kept, func(w *Watch) bool {
				return w.Name == v.id.declaration && slices.Contains(w.Outputs, v.id.output) && slices.Contains(f.watches, w)
			})
		})
		f.watches = kept
		t.rouse(f)
	}
	t.watches, t.changed = watches, true
	for base, v := range t.volumes {
		if bases[base] {
			for _, l := range v.dirs {
				maps.DeleteFunc(l.children, func(w *Watch, _ *matched) bool { return byName[w.Name] != w })
			}
			continue
		}
		v.close()
		if !slices.ContainsFunc(slices.Collect(t.all()), func(f *file) bool { return f.volume == v }) {
			delete(t.volumes, base)
		}
	}
}

// all yields each file that is known.
func (t *Tailer) all() func(yield func(*file) bool) {
	return func(yield func(*file) bool) {
		for _, f := range t.files {
			if !yield(f) {
				return
			}
		}
		for _, f := range t.faded {
			if !yield(f) {
				return
			}
		}
	}
}

// Run follows the files until ctx ends. Files stay open afterwards, so that what was attached can still be read, until
// Close.
func (t *Tailer) Run(ctx context.Context) {
	t.mu.Lock()
	t.hints = newHints(func() {
		t.hinted.Store(true)
		t.nudge()
	}, t.log)
	t.mu.Unlock()
	defer t.hints.close()
	go t.cleaner.run(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.wakeUp: // many wishes are one
			timer.Reset(nudgePause)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		timer.Reset(t.step(t.hinted.Swap(false)))
	}
}

// nudge makes Run look at once.
func (t *Tailer) nudge() {
	select {
	case t.wakeUp <- struct{}{}:
	default:
	}
}

// step looks at what is due, and returns after how long the next thing is.
func (t *Tailer) step(scan bool) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	t.reap()
	since := now.Sub(t.scanned)
	scan = scan || since >= scanEvery || since < 0
	t.lookAll(now, scan) // what was truncated has to be known before its copy is found
	if t.hinted.Swap(false) || scan {
		t.scan(now)
	}
	t.settle(now)
	return t.pause(now)
}

// pause is short while any file is busy, and long enough for the number of files where all are quiet.
func (t *Tailer) pause(now time.Time) time.Duration {
	for f := range t.active {
		if now.Sub(f.changed) < busyFor {
			return busyEvery
		}
	}
	every := t.quietEvery() // on the clock's beat, on which the pipeline looks as well: one waking instead of two
	return every - time.Duration(now.UnixNano()%int64(every))
}

// quietEvery is between two looks at a file that did not grow lately: each costs about a microsecond.
func (t *Tailer) quietEvery() time.Duration {
	return min(max(scanEvery/2, time.Duration(len(t.files))*time.Millisecond), scanEvery)
}

// rouse says that there may be something to be done about f.
func (t *Tailer) rouse(f *file) {
	if f.state != fading {
		t.active[f] = struct{}{}
	}
}

// concerned yields the files that something may have to be done about.
func (t *Tailer) concerned() func(yield func(*file) bool) {
	return func(yield func(*file) bool) {
		for f := range t.active {
			if !yield(f) {
				return
			}
		}
		for _, f := range t.faded {
			if !yield(f) {
				return
			}
		}
	}
}

// Close gives the handles back. Nothing attached may be read afterwards.
func (t *Tailer) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range t.all() {
		f.close()
	}
	for _, h := range t.held {
		_ = h.body.Close() // opened for reading
	}
	for _, v := range t.volumes {
		v.close()
	}
}
