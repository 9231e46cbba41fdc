// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/park"
	"github.com/remora-logs/remora/shared/poison"
)

// Config bounds how records are batched and sent.
type Config struct {
	BatchBytes      int           `env:"REMORA_BATCH_BYTES" envDefault:"4194304" doc:"Approximate maximum size of a batch, in bytes as sent"`
	BatchRecords    int           `env:"REMORA_BATCH_RECORDS" envDefault:"65536" doc:"Maximum number of records in a batch"`
	BatchLinger     time.Duration `env:"REMORA_BATCH_LINGER" envDefault:"200ms" doc:"Maximum time that a record waits for its batch to fill"`
	RetryMax        time.Duration `env:"REMORA_RETRY_MAX" envDefault:"30s" doc:"Longest pause between two attempts to send the same records. While a backend refuses connections, or cannot be reached, an output tries to connect every 2 s or so, or every REMORA_RETRY_MAX if that is shorter"`
	ParkedBytes     int64         `env:"REMORA_PARKED_BYTES" envDefault:"67108864" doc:"Disk limit, in bytes, of records that are parked because their destination (an old index, for instance) does not accept them; over it the oldest go to the dead letters"`
	RetryGiveUp     time.Duration `env:"REMORA_RETRY_GIVE_UP" envDefault:"0s" doc:"Age at which a record whose destination does not accept it goes to the dead letters; 0 retries for ever"`
	DeadLetter      string        `env:"REMORA_DEAD_LETTER" doc:"File for records that a backend refuses for good, each with the reason; without it they are only counted"`
	DeadLetterBytes int64         `env:"REMORA_DEAD_LETTER_BYTES" envDefault:"67108864" doc:"Size at which the file of dead letters is renamed to FILE.1, replacing an older one"`
}

// Check reports invalid settings.
func (c *Config) Check() error {
	switch {
	case c.BatchBytes < 64<<10:
		return fmt.Errorf("REMORA_BATCH_BYTES is %d; it must be at least %d", c.BatchBytes, 64<<10)
	case c.BatchRecords < 1:
		return fmt.Errorf("REMORA_BATCH_RECORDS is %d; it must be at least 1", c.BatchRecords)
	case c.BatchLinger <= 0:
		return fmt.Errorf("REMORA_BATCH_LINGER is %v; it must be more than 0", c.BatchLinger)
	case c.ParkedBytes < 1<<20:
		return fmt.Errorf("REMORA_PARKED_BYTES is %d; it must be at least %d", c.ParkedBytes, 1<<20)
	case c.RetryGiveUp < 0:
		return fmt.Errorf("REMORA_RETRY_GIVE_UP is %v; it must not be negative", c.RetryGiveUp)
	case c.DeadLetterBytes < 1:
		return fmt.Errorf("REMORA_DEAD_LETTER_BYTES is %d; it must be at least 1", c.DeadLetterBytes)
	}
	return nil
}

const (
	// quantum is the number of bytes that one turn reads from a stream: small enough that hundreds of busy streams have a
	// turn within a batch or two, large enough that the cost of a read does not matter.
	quantum = 128 << 10
	// A shard polls its streams every pollInterval, with an atomic load each, or every idlePollInterval if it has read nothing
	// for a second. The first bytes after such a pause are unlikely to be followed by more soon and are sent after idleLinger,
	// so that idle polling adds little latency.
	pollInterval, idlePollInterval, idleLinger = 25 * time.Millisecond, 250 * time.Millisecond, 50 * time.Millisecond
	// releaseMemoryAfter is how long a shard must be idle before it returns its batches' memory to the system.
	releaseMemoryAfter = 10 * time.Second
	// minProgress is the number of bytes that a round must read for the next one to follow at once.
	minProgress = 64 << 10
	// commitEvery is the shortest interval between two commits of acknowledged positions.
	commitEvery = time.Second
	// lastWrite is how long the pipeline waits for acknowledgements of batches in flight when it stops.
	lastWrite = 2 * time.Second
)

// Sink is an output and its number of workers. Each worker sends one batch at a time, and a stream belongs to one worker,
// so the order of its records is kept.
type Sink struct {
	Output  output.Output
	Workers int
}

// Pipeline carries the records of its feeds to its sinks.
type Pipeline struct {
	log   *slog.Logger
	sinks map[string]*sink
	store *checkpoint.Store
	dead  *deadLetters
	aside *deadLetters // of records that killed the process
	// watch marks the records that are being parsed and filtered; nil if they can't be marked. If isolating is set, chains
	// run with alone held for reading, and a suspect record is processed with alone held for writing.
	watch     *poison.Watch
	isolating bool
	alone     sync.RWMutex
	// parked is nil if the store of parked records can't be used. Streams then wait instead.
	parked  *park.Store
	commits loop.Watch

	mu         sync.Mutex
	feeds      map[checkpoint.Key]*Feed
	changed    chan struct{} // closed and replaced when a feed is done
	dirty      map[*Feed]struct{}
	unsynced   map[*Feed]struct{} // feeds with parked records that may not be synced yet
	moved      chan struct{}      // has an element when there is something to commit
	forget     []checkpoint.Key
	ended      Counts // of feeds that are done, so that totals never decrease
	endedFeeds endedFeeds
	commitErr  error

	commitErrSince time.Time
	stored         map[checkpoint.Key]*storedParked // parked by an earlier process, for routes that are not attached yet

	tap atomic.Pointer[Tap]
}

// New returns a pipeline. It neither reads nor sends before Run is called.
func New(cfg Config, sinks map[string]Sink, store *checkpoint.Store, log *slog.Logger) *Pipeline {
	p := &Pipeline{
		log: log, store: store, sinks: make(map[string]*sink, len(sinks)),
		feeds: map[checkpoint.Key]*Feed{}, dirty: map[*Feed]struct{}{}, unsynced: map[*Feed]struct{}{}, moved: make(chan struct{}, 1), changed: make(chan struct{}),
		dead: &deadLetters{path: cfg.DeadLetter, limit: cfg.DeadLetterBytes},
	}
	for name, l := range sinks {
		p.sinks[name] = newSink(p, name, l, cfg)
	}
	if store.Unslotted != nil {
		notice.SlotsUnusable.Log(p.log, "error", store.Unslotted)
	}
	p.watchRecords(store.Dir(), cfg)
	p.openParked(filepath.Join(store.Dir(), "parked"), cfg)
	return p
}

// ErrAttached is the error that Attach returns for a route that is already attached.
var ErrAttached = errors.New("already attached")

// Attach starts delivering a route from its checkpoint, or from the beginning of the stream if there is none. It may be
// called before Run and while Run is running.
func (p *Pipeline) Attach(r Route) (*Feed, error) {
	key := checkpoint.Key{Stream: r.Stream.Key(), Declaration: r.Source.Declaration, Output: r.Output}
	l, ok := p.sinks[r.Output]
	if !ok {
		return nil, fmt.Errorf("%s: there is no output %q", key, r.Output)
	}
	e, _, err := p.store.Load(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	f, err := newFeed(p, key, r, e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.feeds[key]; ok {
		return nil, fmt.Errorf("%s: %w", key, ErrAttached)
	}
	p.feeds[key] = f
	f.ledger.carried = p.endedFeeds.take(r.Source.Writer(), key.Declaration, key.Output)
	p.claimParked(f)
	f.ledger.slot = p.store.Slot(key)
	lead := p.leadFor(&r)
	l.add(f, lead)
	if lead != nil {
		p.tie(f, lead)
	}
	return f, nil
}

// Run reads and sends until ctx ends. It then waits up to lastWrite for batches in flight, commits, and returns. The next
// process resends what was not acknowledged.
func (p *Pipeline) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for _, l := range p.sinks {
		l.start(ctx, &workers)
	}
	commits := make(chan struct{})
	go func() {
		defer close(commits)
		p.commitLoop(ctx)
	}()
	workers.Wait()
	<-commits
	p.commit()
	for _, l := range p.sinks {
		if err := l.output.Close(); err != nil {
			notice.OutputNotClosed.Log(p.log, "output", l.name, "error", err)
		}
	}
	p.dead.close()
	p.closeParked()
	p.closeWatch()
}

// Drain waits until all feeds are done, that is, until their streams have ended and everything is acknowledged, or until
// ctx ends. It reports whether all feeds are done.
func (p *Pipeline) Drain(ctx context.Context) bool {
	for {
		p.mu.Lock()
		left, changed := len(p.feeds), p.changed
		p.mu.Unlock()
		if left == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// done removes the feed. Its checkpoint is deleted if its stream has ended and the route does not keep it.
func (p *Pipeline) done(f *Feed) {
	p.mu.Lock()
	delete(p.feeds, f.key)
	delete(p.dirty, f)
	p.untieLocked(f)
	p.release(f)
	p.carryCounts(f)
	if !f.detached.Load() && !f.route.Keep {
		p.forget = append(p.forget, f.key)
		p.wake()
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.sinks[f.key.Output].remove(f)
	if f.route.Done != nil {
		f.route.Done()
	}
}

// release returns a feed's slot, which is not needed once its position is committed, and its share of the settled records.
// The caller holds p.mu.
func (p *Pipeline) release(f *Feed) {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	p.store.Release(f.ledger.slot)
	f.ledger.slot = nil
	f.ledger.settled.drop()
}

// carryCounts adds the counts of a feed that is done to the totals, and to its successor. The caller holds p.mu.
func (p *Pipeline) carryCounts(f *Feed) {
	s := f.Status(time.Now())
	p.ended.Add(s.Counts)
	s.Prior.Add(s.Counts)
	if successor := p.successor(f.key, f.route.Source.Writer()); successor != nil {
		successor.ledger.mu.Lock()
		successor.ledger.carried.Add(s.Prior)
		successor.ledger.mu.Unlock()
		return
	}
	p.endedFeeds.keep(Ended{Writer: f.route.Source.Writer(), Container: f.route.Source.Container(), Declaration: f.key.Declaration,
		Target: f.route.Source.Target, Output: f.key.Output, Counts: s.Prior})
}

// successor returns a feed of the same container, declaration and output, such as the container's next start or the file
// that replaced a rotated one; nil if there is none. The caller holds p.mu.
func (p *Pipeline) successor(key checkpoint.Key, writer string) *Feed {
	for _, f := range p.feeds {
		if f.key.Output == key.Output && f.key.Declaration == key.Declaration && f.route.Source.Writer() == writer {
			return f
		}
	}
	return nil
}
