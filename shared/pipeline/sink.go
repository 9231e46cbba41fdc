// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/poison"
)

// sink delivers to one output. Its shards work concurrently. A feed stays in one shard, unless one of its records took so
// much CPU time that it would hold up others: then it moves to the slow shard (see isolate).
type sink struct {
	name   string
	output output.Output
	shards []*shard
	state  state
	delays delays

	mu       sync.Mutex // held while feeds are added, moved and removed
	slow     *shard     // nil until a feed is isolated
	slowSlot poison.Slot
	run      func(*shard) // starts a shard's loops; nil before start
	cfg      Config

	// parked has an element when a record was parked. It wakes the retry loop.
	parked   chan struct{}
	probes   map[string]probe // of parked records, by destination; owned by the retry loop
	pipeline *Pipeline
	giveUp   time.Duration // see Config.RetryGiveUp
}

func newSink(p *Pipeline, name string, l Sink, cfg Config) *sink {
	out := &sink{name: name, output: l.Output, state: newState(p.log.With("output", name), cfg.RetryMax),
		parked: make(chan struct{}, 1), probes: map[string]probe{}, pipeline: p, giveUp: cfg.RetryGiveUp, cfg: cfg}
	workers := l.Workers
	if c, ok := l.Output.(output.Concurrent); ok && c.Workers() > 0 {
		workers = c.Workers()
	}
	for i := range max(1, workers) {
		out.shards = append(out.shards, newShard(p, out, cfg))
		out.shards[i].number = i
	}
	return out
}

// add adds the feed to the shard that has a feed of the same series, else to the one with the same number as its lead's
// shard, else to the one with the fewest feeds. So the batches of one shard are shared with one shard of another output
// rather than split among several.
func (l *sink) add(f, lead *Feed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.shards[0]
	for _, s := range l.all() {
		if s.hasSeries(f) {
			f.tee.home = s
			s.add(f)
			return
		}
		if s != l.slow && s.count() < to.count() {
			to = s
		}
	}
	if lead != nil {
		to = l.shards[lead.tee.home.number%len(l.shards)]
	}
	f.tee.home = to
	to.add(f)
}

func (l *sink) remove(f *Feed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all() {
		s.remove(f)
	}
}

// all returns the shards, including the slow one if there is one.
func (l *sink) all() []*shard {
	if l.slow == nil {
		return l.shards
	}
	return append(slices.Clone(l.shards), l.slow)
}

// isolate moves a feed that has nothing in flight to the slow shard. Parsing and filtering a record can't be interrupted, so
// a shard stands still for as long as that takes. In the slow shard only other slow feeds wait. Its batches are small,
// because they fill slowly.
func (l *sink) isolate(f *Feed, from *shard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slow == nil {
		cfg := l.cfg
		cfg.BatchBytes = min(cfg.BatchBytes, slowBatchBytes)
		l.slow = newShard(l.pipeline, l, cfg)
		l.slow.slow, l.slow.slot = true, l.slowSlot
		if l.run != nil {
			l.run(l.slow)
		}
	}
	if from.remove(f) {
		l.slow.add(f)
	}
}

// slowBatchBytes bounds the batches of a slow shard.
const slowBatchBytes = 1 << 20

func (l *sink) start(ctx context.Context, workers *sync.WaitGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = func(s *shard) {
		workers.Go(func() { s.fillLoop(ctx) })
		workers.Go(func() { s.sendLoop(ctx) })
	}
	for _, s := range l.all() {
		l.run(s)
	}
	workers.Go(func() { l.retryLoop(ctx) })
}

// state holds whether an output works. Each change is logged once, however many batches it concerns.
type state struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[*shard]struct{} // shards whose last attempt failed; the output has recovered when there are none
	err     error
	since   time.Time

	// prober is the shard that tries to connect while no connection can be opened; nil otherwise. The others wait for reached,
	// which is closed and replaced once the backend has answered.
	prober  *shard
	reached chan struct{}

	lastAccepted time.Time
	rejection    string    // why the last batch was rejected; empty if a record has been accepted since
	rejectedAt   time.Time // when the first of these batches was rejected
	lastRejected time.Time
	forget       time.Duration // how long after lastRejected a rejection is forgotten: see newState
}

// newState returns the state of an output. Blocked records are tried again after at most 1.25 × retryMax, so an output that
// has rejected nothing for longer than that is no longer failing: what it rejected was parked or given up, or is gone.
func newState(log *slog.Logger, retryMax time.Duration) state {
	return state{log: log, failing: map[*shard]struct{}{}, reached: make(chan struct{}), forget: max(2*retryMax, 2*onlyRejects)}
}

// onlyRejects is how long an output that answers must have accepted nothing to count as failing.
const onlyRejects = 5 * time.Second

// failed notes an attempt that failed as a whole, so that its records must be sent again.
func (s *state) failed(by *shard, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.since = now
		failureOf(err).Log(s.log, "error", err)
	}
	s.failing[by] = struct{}{}
	s.err = err
	if !unreachable(err) {
		s.connected()
	} else if s.prober == nil {
		s.prober = by
	}
}

// connected lets the shards that wait for a connection continue. The caller holds s.mu.
func (s *state) connected() {
	if s.prober != nil {
		s.prober = nil
		close(s.reached)
		s.reached = make(chan struct{})
	}
}

// connecting reports whether a shard that could not connect is the one that tries again. If not, it waits until reached is
// closed.
func (s *state) connecting(by *shard) (probes bool, reached <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prober == nil { // another shard has connected meanwhile
		now := make(chan struct{})
		close(now)
		return false, now
	}
	return s.prober == by, s.reached
}

// accepted notes that the backend has accepted at least one record.
func (s *state) accepted(by *shard, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastAccepted, s.rejection = now, ""
	s.connected()
	s.worked(by, now)
}

// answered notes that the backend gave verdicts.
func (s *state) answered(by *shard, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected()
	s.worked(by, now)
}

func (s *state) worked(by *shard, now time.Time) {
	if s.err == nil {
		return
	}
	if delete(s.failing, by); len(s.failing) == 0 {
		s.log.Info("output recovered", "after", now.Sub(s.since).Round(time.Millisecond))
		s.err = nil
	}
}

// rejected notes a batch of which no record was accepted, and one of the reasons.
func (s *state) rejected(reason string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rejection == "" || now.Sub(s.lastRejected) > s.forget {
		s.rejectedAt = now
	}
	s.rejection, s.lastRejected = reason, now
}

// get returns why the output fails and since when: the error of the last attempt, or that it has accepted nothing of late.
// err is nil if the output does not fail.
func (s *state) get(now time.Time) (since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.rejection != "" && now.Sub(s.rejectedAt) >= onlyRejects && now.Sub(s.lastRejected) <= s.forget {
		return s.rejectedAt, errors.New("accepts nothing that it is sent: " + s.rejection)
	}
	return s.since, s.err
}
