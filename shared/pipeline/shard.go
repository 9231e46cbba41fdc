// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/remora-logs/remora/shared/poison"
)

// batchesPerShard is the number of batches of a shard: one is filled while the other is sent. It bounds the memory of a
// shard, whatever the backend does, and what is resent after the process was killed.
const batchesPerShard = 2

// shard reads its feeds in turn and sends their records in that order.
type shard struct {
	pipeline *Pipeline
	sink     *sink
	cfg      Config
	idle     chan *inflightBatch
	ready    chan *inflightBatch
	pause    *backoff.ExponentialBackOff
	dials    int         // failed attempts to connect for the present batch
	number   int         // index in its sink's shards
	slow     bool        // it is its sink's slow shard
	slot     poison.Slot // where it marks the record that is being parsed and filtered

	added chan struct{} // has an element when a feed was added; a shard without feeds waits for it

	mu     sync.Mutex
	feeds  []*Feed
	series map[seriesKey][]*Feed // of the feeds that have one, the oldest first
	shares map[string]*share     // by ownerOf
	next   int                   // whose turn it is

	turn      []*Feed // copy of feeds, made at the start of the round
	heavy     []*Feed // those that are ready and whose containers are heavy
	nextHeavy int     // index of the one that is served first
	// heavyFirst means that the last batch was full before heavy feeds had their turn.
	heavyFirst bool
	last       time.Time // when bytes were read last

	memoryReleased bool // the batches' memory was returned to the system

	offers   offers
	patience patience
	blocked  atomic.Int64 // since when both batches are in flight, in ns since 1970; 0 if they are not
	// ownTurn means that the last batch was taken from another shard: the next one is for feeds that read by themselves.
	ownTurn bool
}

func newShard(p *Pipeline, l *sink, cfg Config) *shard {
	s := &shard{pipeline: p, sink: l, cfg: cfg, idle: make(chan *inflightBatch, batchesPerShard), ready: make(chan *inflightBatch, batchesPerShard),
		added: make(chan struct{}, 1), series: map[seriesKey][]*Feed{}, shares: map[string]*share{}, offers: newOffers()}
	for range batchesPerShard {
		s.idle <- newInflightBatch(cfg.BatchBytes)
	}
	s.pause = &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5,
		Multiplier: 2, MaxInterval: max(cfg.RetryMax, 100*time.Millisecond)}
	return s
}

func (s *shard) add(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = append(s.feeds, f)
	f.shard = s
	f.watch()
	owner := ownerOf(f.route.Source)
	if s.shares[owner] == nil {
		s.shares[owner] = new(share)
	}
	f.share = s.shares[owner]
	f.share.feeds++
	s.join(f)
	select {
	case s.added <- struct{}{}:
	default:
	}
}

// remove reports whether the shard had the feed.
func (s *shard) remove(f *Feed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.feeds, f)
	if i < 0 {
		return false
	}
	s.feeds = slices.Delete(s.feeds, i, i+1)
	s.part(f)
	if f.share.feeds--; f.share.feeds == 0 {
		delete(s.shares, ownerOf(f.route.Source))
	}
	return true
}

func (s *shard) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.feeds)
}

// fillLoop fills one batch after the other. While both are in flight it waits and reads nothing.
func (s *shard) fillLoop(ctx context.Context) {
	defer close(s.ready)
	for {
		s.blocked.Store(time.Now().UnixNano())
		select {
		case f := <-s.idle:
			s.blocked.Store(0)
			if len(f.offers) > 0 {
				s.settleOffers(ctx, f)
			}
			if !s.fill(ctx, f) {
				return
			}
			if f.lease == nil {
				s.offer(f)
			}
			s.ready <- f
		case <-ctx.Done():
			return
		}
	}
}

// fill reads until the batch is worth sending. It returns false if ctx ends before that.
func (s *shard) fill(ctx context.Context, f *inflightBatch) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	linger := s.cfg.BatchLinger
	for {
		if len(f.ranges) == 0 && !s.ownTurn && s.accept(f, time.Now()) {
			s.ownTurn = true
			return true
		}
		s.ownTurn = false
		got, more := s.round(f)
		now := time.Now()
		quiet := now.Sub(s.last) > time.Second
		if len(f.ranges) == 0 && len(s.turn) == 0 {
			select {
			case <-s.added:
				continue
			case <-ctx.Done():
				return false
			}
		}
		if got > 0 {
			if s.last = now; quiet {
				linger = min(linger, idleLinger)
			}
			s.memoryReleased = false
		}
		if len(f.ranges) > 0 && (f.full || now.Sub(f.begun) >= linger) {
			return true
		}
		if s.offers.any() {
			if len(f.ranges) > 0 {
				return true // it is sent before the offered batch
			}
			continue
		}
		if (more || got >= minProgress) && ctx.Err() == nil {
			continue
		}
		wait := pollInterval
		if len(f.ranges) > 0 {
			wait = min(wait, linger-now.Sub(f.begun))
		} else if quiet && got == 0 {
			wait = untilNext(idlePollInterval, now)
			if !s.memoryReleased && now.Sub(s.last) > releaseMemoryAfter {
				s.releaseMemory(f)
			}
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.offers.come:
		case <-ctx.Done():
			return false
		}
	}
}

// untilNext returns the time until the clock shows a multiple of every. All shards, and the tailer, wake at the same ticks,
// because a wake-up costs more than the work that is done in it.
func untilNext(every time.Duration, now time.Time) time.Duration {
	return every - time.Duration(now.UnixNano()%int64(every))
}

// releaseMemory returns to the system the memory of f, which is empty, and that of the other batch, unless it is in flight.
func (s *shard) releaseMemory(f *inflightBatch) {
	s.memoryReleased = true
	f.releaseMemory()
	select {
	case other := <-s.idle:
		other.withdrawOffers()
		other.regain()
		other.releaseMemory()
		s.idle <- other
	default:
		s.memoryReleased = false // try again, once it is back
	}
}

// round gives each feed its turn, starting where the last round ended, until the batch is full: first the feeds of light
// containers, then those of heavy ones within their share of CPU time. It returns the number of bytes consumed, and whether
// a stream has more.
func (s *shard) round(f *inflightBatch) (got int64, more bool) {
	s.mu.Lock()
	s.turn, s.heavy = append(s.turn[:0], s.feeds...), s.heavy[:0]
	first := s.next
	s.mu.Unlock()
	now := time.Now()
	f.patience = roundPatience
	if s.heavyFirst {
		s.heavyFirst = false
		if got, more = s.serveHeavy(f, now); f.full {
			return got, more
		}
	}
	for i := range s.turn {
		s.next = (first + i) % len(s.turn)
		feed := s.turn[s.next]
		if s.isolates(feed, now) || !feed.ready(now) || feed.follows(now) {
			continue
		}
		if feed.share.isHeavy(now) {
			s.heavy = append(s.heavy, feed)
			continue
		}
		read, _ := s.serve(f, feed, now)
		if !feed.reader.full && feed.deferred.Load() != 0 {
			feed.deferred.Store(0) // it was heavy, and is at the end of its stream
		}
		got += read
		more = more || feed.reader.full
		if s.checkFull(f); f.full {
			s.next++ // the feed that filled it has had its turn
			s.heavyFirst = true
			return got, more
		}
	}
	s.next = 0 // all had their turn: start again with the oldest, such as a rotated file before its successor
	if len(s.heavy) > 0 {
		read, rest := s.serveHeavy(f, now)
		got, more = got+read, more || rest
	}
	return got, more
}

// checkFull notes whether the batch is full. A quarter of its memory is kept free for a long line, which would otherwise
// need memory of its own.
func (s *shard) checkFull(f *inflightBatch) {
	f.full = f.full || f.size >= s.cfg.BatchBytes || len(f.batch.Records) >= s.cfg.BatchRecords ||
		len(f.batch.Free()) < s.cfg.BatchBytes/4
}
