// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/tail/find"
)

// Config is what a Tailer is made of. Zero values stand for the defaults.
type Config struct {
	Store Store
	Sink  Sink
	Log   *slog.Logger
	// MaxOpen bounds the handles of files. By default it is half of what the process may open, at most 1024.
	MaxOpen int
	// MaxDeleted bounds the bytes on disk that are held because files were removed before they were read. By default it is
	// 1 GiB. Of one file system never more than a share is held, see limitHeld.
	MaxDeleted int64
	// DropPageCache gives back the page cache of what was acknowledged.
	DropPageCache bool
	// Owned reports whether this process writes the file at path itself, with the inode number ino of the device dev: it
	// is not read then. It is called for each file that is found, by one goroutine, and must not block.
	Owned func(path string, dev, ino uint64) bool
	// Delivered returns how many bytes of a file of which nothing is known were delivered by somebody else, whose work this
	// process takes over; 0 where that is not known. It is called by one goroutine and must not block.
	Delivered func(find.Inode) int64
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

const (
	busyEvery   = 100 * time.Millisecond // between two steps while a file grows
	scanEvery   = time.Second            // between two scans of an origin, without a hint
	wakePause   = 20 * time.Millisecond  // before Run answers to a request or a hint
	busyFor     = 10 * time.Second       // how long after it grew a file is observed in each step
	quietFor    = 5 * time.Second        // after which a rotated file is taken to have ended
	detachAfter = time.Minute            // after which a file that is read to its end costs the pipeline nothing
	searchFor   = 5 * time.Second        // how long the bytes of a truncated file are searched for in a copy
	closeWait   = time.Second            // how long Close waits for a step
	rememberFor = time.Minute            // how long a removed file is known by its content, so that its copy is not read
)

// Tailer finds and follows files. Its methods are safe for concurrent use, and none of them except Drain and Close waits for
// a file system or the store.
type Tailer struct {
	cfg     Config
	log     *slog.Logger
	wakeUp  chan struct{}
	hints   *find.Hints
	cleaner *cleaner

	// mu guards what the other methods leave for the next step, and what a step leaves for them. No file is touched while
	// it is held.
	mu       sync.Mutex
	requests []request
	hinted   map[string]bool // origins in which something was created, renamed or removed
	status   status          // as of the end of the last step
	problems problems        // it has a lock of its own

	// stepping has an element while a step is made. Who puts it there may use all that follows.
	stepping  chan struct{}
	origins   map[string]*origin
	positions *positions
	observed  time.Time // when all files were observed
	counts    Counts
	opens     int // at least as many files are open
	reopens   int // of this step
	draining  bool
	closed    bool
	drainEnds map[*generation]int64                                          // where Drain found the files' ends; nil unless draining
	openFile  func(tree *find.Tree, rel string) (*os.File, find.Stat, error) // find.Tree.Open, unless a test breaks it
	space     func(content) (space, error)                                   // spaceOf, unless a test breaks it
}

// request is a change of an origin that the next step makes.
type request struct {
	id         string
	phase      phase
	declared   *Origin
	selections []*selection
}

// New makes a Tailer that resumes where the store says. It reads nothing before Run is called.
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
	p, err := loadPositions(cfg.Store)
	if err != nil {
		return nil, err
	}
	t := &Tailer{
		cfg: cfg, log: cfg.Log, wakeUp: make(chan struct{}, 1), hinted: map[string]bool{}, origins: map[string]*origin{}, positions: p,
		stepping: make(chan struct{}, 1), openFile: (*find.Tree).Open, space: spaceOf,
	}
	t.problems.log = cfg.Log
	t.cleaner = newCleaner(cfg.Log)
	return t, nil
}

// Run follows the files until ctx ends. It returns then also if a file system does not answer. Files stay open
// afterwards, so that what was attached can still be read, until Close.
func (t *Tailer) Run(ctx context.Context) {
	hints := find.NewHints(t.hint, t.log)
	t.stepping <- struct{}{}
	t.hints = hints
	<-t.stepping
	defer hints.Close()
	go t.cleaner.run(ctx)
	next := make(chan time.Duration, 1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.wakeUp: // many requests are one
			timer.Reset(wakePause)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		go func() { next <- t.step(false) }()
		select {
		case <-ctx.Done():
			return
		case pause := <-next:
			timer.Reset(pause)
		}
	}
}

// wake makes Run step soon.
func (t *Tailer) wake() {
	select {
	case t.wakeUp <- struct{}{}:
	default:
	}
}

// hint notes that something has changed in a directory of an origin.
func (t *Tailer) hint(origin string) {
	t.mu.Lock()
	t.hinted[origin] = true
	t.mu.Unlock()
	t.wake()
}

// step does what is due, and returns after how long the next thing is. all says that everything is.
func (t *Tailer) step(all bool) time.Duration {
	t.stepping <- struct{}{}
	defer func() { <-t.stepping }()
	if t.closed {
		return scanEvery
	}
	now := t.cfg.Now()
	t.takeRequests()
	budget := scanBudget
	return t.stepWithin(&budget, now, all)
}

func (t *Tailer) stepWithin(budget *int, now time.Time, all bool) time.Duration {
	t.problems.tick(now)
	t.collectDone()
	since := now.Sub(t.observed)
	observeAll := all || since >= t.quietEvery() || since < 0
	if observeAll {
		t.observed = now
	}
	t.reopens = 0
	for _, o := range t.byTurn() {
		due := all || o.scanDue(now)
		t.observeAll(o, now, observeAll || due) // what was truncated must be known before its copy is found
		if o.phase != withdrawing && (due || o.urgent) && *budget > 0 && !o.over() {
			t.scanOn(o, now, budget)
		}
		o.release()
	}
	t.settle(now)
	t.publish()
	return t.pause(now)
}

// scanDue reports whether an origin is to be scanned, or its scan to be continued. A hint is followed at once, unless the
// last scan was large: somebody who renames files all the time must not make this process search all the time.
func (o *origin) scanDue(now time.Time) bool {
	since := now.Sub(o.scanned)
	cooldown := time.Duration(o.scanCost) * scanEvery / scanBudget
	return o.scan != nil || o.urgent || since >= scanEvery || since < 0 || o.hinted && since >= cooldown
}

// over reports whether the last scan of an origin that has ended is complete.
func (o *origin) over() bool { return o.phase == ending && o.ended }

// byTurn returns the origins, the one that was scanned the longest ago first: where there is not time for all, none waits
// for ever.
func (t *Tailer) byTurn() []*origin {
	all := make([]*origin, 0, len(t.origins))
	for _, o := range t.origins {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *origin) int { return a.scanned.Compare(b.scanned) })
	return all
}

// pause is short while any file is busy or removed ones are held, and long enough for the number of files where all are
// quiet.
func (t *Tailer) pause(now time.Time) time.Duration {
	for _, o := range t.origins {
		if o.scan != nil {
			return wakePause
		}
	}
	if t.counts.HeldBytes > 0 {
		return busyEvery
	}
	for _, o := range t.origins {
		for g := range o.active {
			if now.Sub(g.changed) < busyFor {
				return busyEvery
			}
		}
	}
	every := t.quietEvery() // on the clock's tick, on which the pipeline polls as well: one wake-up instead of two
	return every - time.Duration(now.UnixNano()%int64(every))
}

// quietEvery is between two observations of a file that did not grow lately: each costs about a microsecond.
func (t *Tailer) quietEvery() time.Duration {
	files := 0
	for _, o := range t.origins {
		files += len(o.byInode)
	}
	return min(max(scanEvery/2, time.Duration(files)*time.Millisecond), scanEvery)
}

// Close gives the handles back. Nothing attached may be read afterwards. Where a step waits for a file system that does
// not answer, it returns without that.
func (t *Tailer) Close() {
	select {
	case t.stepping <- struct{}{}:
	case <-time.After(closeWait):
		t.log.Warn("a file system does not answer, leaving files open")
		return
	}
	defer func() { <-t.stepping }()
	t.closed = true
	for _, o := range t.origins {
		for g := range o.all() {
			g.close()
		}
		for _, c := range o.pending {
			_ = c.body.Close() // opened for reading
		}
		o.release()
	}
}

// lastGeneration is the last number that newKey gave.
var lastGeneration atomic.Int64

// newKey makes the key of a stream of which the first byte is seen now. The generation tells apart all that one inode
// will ever hold: it is the microsecond of the first sight, moved on where the clock stood or went back meanwhile.
func newKey(origin string, id find.Inode, now time.Time) string {
	g := now.UnixMicro()
	for {
		last := lastGeneration.Load()
		if g <= last {
			g = last + 1
		}
		if lastGeneration.CompareAndSwap(last, g) {
			return streamKey(origin, id, g)
		}
	}
}
