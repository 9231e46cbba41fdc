// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/tail/find"
)

// Config configures a Tailer. Zero values stand for the defaults.
type Config struct {
	Store Store
	Sink  Sink
	Log   *slog.Logger
	// MaxOpen bounds the number of open files. By default it is half of the process's limit, at most 1024.
	MaxOpen int
	// MaxDeleted bounds the disk space, in bytes, of removed files that are kept open until they are read. By default it is
	// 1 GiB. A share of each file system bounds it further, see limitHeld.
	MaxDeleted int64
	// DropPageCache drops acknowledged bytes from the page cache.
	DropPageCache bool
	// Owned reports whether this process itself writes the file at path, which has inode number ino on device dev. Such a
	// file is not read. Owned is called for each file that is found, by one goroutine at a time, and must not block.
	Owned func(path string, dev, ino uint64) bool
	// Delivered returns how many bytes of a file without a stored position were delivered by another collector, which this
	// process replaces; 0 if that is unknown. It is called by one goroutine at a time and must not block.
	Delivered func(find.Inode) int64
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

const (
	busyEvery   = 100 * time.Millisecond // between two steps while a file grows
	scanEvery   = time.Second            // between two scans of an origin, without a hint
	watchedScan = 10 * time.Second       // the same if each new name gives a hint and there are few origins
	wakePause   = 20 * time.Millisecond  // before Run answers to a request or a hint
	busyFor     = 10 * time.Second       // how long after it last grew a file is observed in every step
	quietFor    = 5 * time.Second        // how long a rotated file must not grow to count as ended
	detachAfter = time.Minute            // how long a fully read file stays attached to the pipeline
	searchFor   = 5 * time.Second        // how long to search copies for the unread bytes of a truncated file
	closeWait   = time.Second            // how long Close waits for a step
	patience    = time.Second / 4        // how long a step waits for the step of one origin
	// noAnswerAfter is how long the step of an origin may take before its file system is reported as not answering. A
	// shorter delay may be a busy CPU.
	noAnswerAfter = 10 * time.Second
	rememberFor   = time.Minute // how long the fingerprint of a removed file is kept, so that its copy is not read
)

// Tailer finds and follows files. Its methods are safe for concurrent use, and none of them except Drain and Close waits for
// a file system or the store.
type Tailer struct {
	cfg     Config
	log     *slog.Logger
	wakeUp  chan struct{}
	hints   *find.Hints
	cleaner *cleaner
	loop    loop.Watch

	// mu guards what other methods pass to the next step, and what a step publishes to them. No file is accessed while it is
	// held.
	mu       sync.Mutex
	requests []request
	hinted   map[string]bool // origins in which something was created, renamed or removed
	status   status          // as of the end of the last step
	held     int64           // bytes of removed files
	problems problems        // has its own lock

	// The steps of all origins share these fields.
	list     atomic.Pointer[[]*origin]
	opens    atomic.Int64 // an upper bound of the number of open files; see openWithin
	draining atomic.Bool

	// stepping has an element while a step runs. The goroutine that put it there may use the fields below, and any origin
	// whose lock it holds.
	stepping  chan struct{}
	origins   map[string]*origin
	positions *positions
	observed  time.Time // when all files were observed
	counts    Counts    // of origins that are no longer followed
	turn      int       // the origin that is stepped first
	pace      pace
	closed    bool
	patience  time.Duration                                                  // the constant, unless a test allows more
	openFile  func(tree *find.Tree, rel string) (*os.File, find.Stat, error) // find.Tree.Open, unless a test breaks it
	space     func(content) (space, error)                                   // spaceOf, unless a test breaks it
	remote    func(content) bool                                             // isRemote, unless a test says otherwise
	asked     map[uint64]*spaceAnswer                                        // by device: questions of spaceFor without an answer yet
	devices   devices
}

// request is a change of an origin that the next step applies.
type request struct {
	id         string
	phase      phase
	declared   *Origin
	selections []*selection
	stopped    *bool // if not nil, it is the only change
}

// New returns a Tailer that resumes at the stored positions. It reads no files before Run is called.
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
		asked:    map[uint64]*spaceAnswer{},
		stepping: make(chan struct{}, 1), openFile: (*find.Tree).Open, space: spaceOf, remote: isRemote, patience: patience,
	}
	t.list.Store(&[]*origin{})
	t.problems.log = cfg.Log
	t.cleaner = newCleaner(cfg.Log)
	return t, nil
}

// Run follows the files until ctx ends. It returns then even if a file system does not answer. Files stay open until Close,
// so that the pipeline can finish reading the attached streams.
func (t *Tailer) Run(ctx context.Context) {
	hints := find.NewHints(t.hint, t.log)
	t.stepping <- struct{}{}
	t.hints = hints
	<-t.stepping
	defer hints.Close()
	go t.cleaner.run(ctx)
	defer t.loop.Wait()
	t.loop.Turn(t.cfg.Now())
	next := make(chan time.Duration, 1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.wakeUp: // gather further requests
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

// Late returns the time since the last turn of Run's loop, which turns at least once a second; 0 if Run is not running. A file
// system that does not answer does not make Run late.
func (t *Tailer) Late(now time.Time) time.Duration { return t.loop.Late(now) }

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

// step does the work that is due and returns the pause before the next step. If all is set, everything is due.
func (t *Tailer) step(all bool) time.Duration {
	t.stepping <- struct{}{}
	defer func() { <-t.stepping }()
	if t.closed {
		return scanEvery
	}
	return t.stepWithin(scanBudget, t.cfg.Now(), all)
}

func (t *Tailer) stepWithin(budget int, now time.Time, all bool) time.Duration {
	t.takeRequests()
	t.problems.tick(now)
	since := now.Sub(t.observed)
	observeAll := all || since >= t.quietEvery() || since < 0
	if observeAll {
		t.observed = now
	}
	origins := *t.list.Load()
	t.pace = paceFor(len(origins))
	first := t.turn
	var w worker
	defer w.end()
	for i := range origins {
		i = (first + i) % len(origins)
		if !all { // a step of Run's: it may wait a moment for each of many file systems
			t.loop.Turn(t.cfg.Now())
		}
		before := budget
		budget = t.stepOrigin(&w, origins[i], now, observeAll, all, budget)
		if before > 0 && budget <= 0 {
			t.turn = i // the next step continues here, so that no origin starves
		}
	}
	t.expire(now)
	t.limitHeld(now)
	t.leaveOrigins()
	t.publish()
	return t.pause(now)
}

// stepOrigin runs the step of one origin and returns the rest of the budget. It waits at most t.patience: if a file system does
// not answer, the origin's step continues in the background, and the origin is skipped until it has returned.
func (t *Tailer) stepOrigin(w *worker, o *origin, now time.Time, observeAll, all bool, budget int) int {
	if !o.step.TryLock() {
		if now.Sub(o.stepped) >= noAnswerAfter {
			t.problems.report(o.problem("file system"), errLongStep)
		}
		return budget
	}
	if !observeAll && !all && o.idle(now, t.pace, t.draining.Load()) {
		o.step.Unlock()
		return budget
	}
	o.stepped = now
	left, pace := budget, t.pace // copies: a step in the background must not touch t's
	step := func() {
		t.originStep(o, now, pace, observeAll, all, &left)
		o.step.Unlock()
	}
	if !w.do(step, t.patience) {
		return budget // its work is not charged to the others
	}
	return left
}

// errNoAnswer is the error for a file system that does not answer in time.
var errNoAnswer = errors.New("it does not answer")

// errLongStep is reported for an origin whose step does not return. The file system need not hang: the first scan of a directory
// opens all its files in one step.
var errLongStep = errors.New("it does not answer, is slow, or has very many new files")

// originStep is the step of one origin. The caller holds o.step.
func (t *Tailer) originStep(o *origin, now time.Time, pace pace, observeAll, all bool, budget *int) {
	if observeAll && !all && o.idle(now, pace, t.draining.Load()) && now.Sub(o.basesSeen) < pace.bases && o.unchanged() {
		t.problems.report(o.problem("file system"), nil)
		return
	}
	o.collectDone()
	if o.drainEnds != nil && !t.draining.Load() {
		o.resume()
	}
	o.reopens = 0
	if o.watched && now.Sub(o.basesSeen) >= pace.bases {
		o.basesSeen = now
		o.watched = o.sameBases()
	}
	due := all || o.scanDue(now, pace)
	t.observeAll(o, now, observeAll || due) // a truncation must be noticed before the scan finds the copy
	if o.phase != withdrawing && (due || o.urgent) && *budget > 0 && !o.over() {
		t.scanOn(o, now, budget)
	}
	t.settle(o, now)
	o.release()
	t.publishOrigin(o, now)
	t.problems.report(o.problem("file system"), nil)
}

// pace is how often watched origins, those in which every new name gives a hint, are checked nevertheless. bases is the
// interval of checking that their base paths lead to the same directories, which takes a few microseconds. scan is the interval
// of scanning them, which takes tens of microseconds.
type pace struct{ bases, scan time.Duration }

// paceFor lengthens the intervals with the number of origins: a thousand are scanned once a minute.
func paceFor(origins int) pace {
	n := time.Duration(origins)
	return pace{
		bases: min(max(scanEvery/2, n*10*time.Millisecond), 10*scanEvery),
		scan:  min(max(watchedScan, n*60*time.Millisecond), 6*watchedScan),
	}
}

// idle reports whether the origin has no work that is due.
func (o *origin) idle(now time.Time, p pace, draining bool) bool {
	return len(o.active)+len(o.left) == 0 && !o.scanDue(now, p) && (o.drainEnds != nil) == draining && o.phase == following
}

// scanDue reports whether a scan of the origin is to begin or to continue. A hint makes it due at once, unless the last scan was
// large: an application that renames files all the time must not keep this process scanning.
func (o *origin) scanDue(now time.Time, p pace) bool {
	since := now.Sub(o.scanned)
	cooldown := time.Duration(o.scanCost) * scanEvery / scanBudget
	every := scanEvery
	if o.watched {
		every = p.scan
	}
	return o.scan != nil || o.urgent || since >= every || since < 0 || o.hinted.Load() && since >= cooldown
}

// over reports whether the origin has ended and its last scan is complete.
func (o *origin) over() bool { return o.phase == ending && o.ended }

// pause returns the time until the next step: short while a file is busy or removed files are held, else one that grows with the
// number of files.
func (t *Tailer) pause(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	busy := t.held > 0
	for _, o := range *t.list.Load() {
		if o.status.scanning {
			return wakePause
		}
		busy = busy || now.Sub(o.status.changed) < busyFor
	}
	if busy {
		return busyEvery
	}
	every := t.quiet() // on the clock's tick, on which the pipeline polls as well: one wake-up instead of two
	return every - time.Duration(now.UnixNano()%int64(every))
}

// quietEvery is the interval between two observations of a file that did not grow lately. An observation costs about a
// microsecond.
func (t *Tailer) quietEvery() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.quiet()
}

// quiet is quietEvery for a caller that holds mu.
func (t *Tailer) quiet() time.Duration {
	files := 0
	for _, o := range *t.list.Load() {
		files += o.status.counts.Files
	}
	return min(max(scanEvery/2, time.Duration(files)*time.Millisecond), scanEvery)
}

// Close closes all files. No attached stream may be read afterwards. Files of an origin whose step waits for a file system that
// does not answer are left open.
func (t *Tailer) Close() {
	deadline := time.Now().Add(closeWait)
	t.stepping <- struct{}{}
	defer func() { <-t.stepping }()
	t.closed = true
	for _, o := range *t.list.Load() {
		if o.lockBefore(deadline) {
			o.close()
			o.step.Unlock()
		} else {
			notice.FileSystemSilent.Log(t.log, "origin", o.id())
		}
	}
}

// lockBefore waits for the origin's step until deadline, and reports whether it is over.
func (o *origin) lockBefore(deadline time.Time) bool {
	for !o.step.TryLock() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// close closes the files of an origin.
func (o *origin) close() {
	for g := range o.all() {
		g.abandon()
	}
	for _, c := range o.pending {
		_ = c.body.Close() // opened for reading
	}
	o.release()
}

// lastGeneration is the last generation number that newKey used.
var lastGeneration atomic.Int64

// newKey returns the key of a new stream. Its generation number distinguishes everything that one inode will ever hold. It is
// the present time in microseconds, or one more than the last number if the clock has not advanced.
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
