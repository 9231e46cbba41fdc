// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
)

// sink is the way to one output. Its shards work side by side; a feed belongs to one of them for good.
type sink struct {
	name   string
	output output.Output
	shards []*shard
	state  state
}

func newSink(p *Pipeline, name string, l Sink, cfg Config) *sink {
	out := &sink{name: name, output: l.Output, state: state{log: p.log.With("output", name), failing: map[*shard]struct{}{}}}
	workers := l.Workers
	if c, ok := l.Output.(output.Concurrent); ok && c.Workers() > 0 {
		workers = c.Workers()
	}
	for range max(1, workers) {
		out.shards = append(out.shards, newShard(p, out, cfg))
	}
	return out
}

// add gives the feed to the shard that has the fewest, or to that of a feed of the same file: what a file was rotated to
// and what follows it under its name then keep their order, as far as they are read in it.
func (l *sink) add(f *Feed) {
	least := l.shards[0]
	for _, s := range l.shards {
		if f.route.Source.Path != "stdout" && s.hasPath(f.route.Source) {
			s.add(f)
			return
		}
		if s.count() < least.count() {
			least = s
		}
	}
	least.add(f)
}

func (l *sink) remove(f *Feed) {
	for _, s := range l.shards {
		s.remove(f)
	}
}

func (l *sink) start(ctx context.Context, workers *sync.WaitGroup) {
	for _, s := range l.shards {
		workers.Go(func() { s.fillLoop(ctx) })
		workers.Go(func() { s.sendLoop(ctx) })
	}
}

// state is whether an output takes what it is sent. It says so once a change, however many batches and attempts a change
// takes.
type state struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[*shard]struct{} // those whose last attempt failed: the output works again when there are none
	err     error
	since   time.Time
}

func (s *state) failed(by *shard, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.since = now
		s.log.Warn("output does not take records; they wait and are sent again", "error", err)
	}
	s.failing[by] = struct{}{}
	s.err = err
}

func (s *state) worked(by *shard, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return
	}
	if delete(s.failing, by); len(s.failing) == 0 {
		s.log.Info("output takes records again", "after", now.Sub(s.since).Round(time.Millisecond))
		s.err = nil
	}
}

// get returns the error that the last attempt ended with, nil where it worked, and since when attempts fail.
func (s *state) get() (since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, s.err
}
