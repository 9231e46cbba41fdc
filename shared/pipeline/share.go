// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// A container whose formats and filters take much CPU time is served behind the others: all of these have their turn,
// and then such containers have theirs until together they have taken heavyTurn. So whoever is light waits for one such
// turn at most, and who is alone has all the time that there is.
const (
	// heavyTurn is the CPU time of heavy chains in a round.
	heavyTurn = 10 * time.Millisecond
	// A container is heavy when its chains took heavyOnce in one turn, or heavyUsage lately (what was taken counts half
	// after a second). It is light again when that has fallen to lightUsage.
	heavyOnce, heavyUsage, lightUsage = 5 * time.Millisecond, 100 * time.Millisecond, 5 * time.Millisecond
)

// slowRecord is the CPU time of one turn from which on a feed is slow. A turn ends behind the record with which heavyTurn
// is used up, so it is a single record that took that long.
const slowRecord = 50 * time.Millisecond

// isolates moves a slow feed out of the shard as soon as nothing of it is in flight, and reports whether the feed has no
// turn here any more. Nothing else of a feed may be looked at before it is known to belong to the shard still.
func (s *shard) isolates(feed *Feed, now time.Time) bool {
	if feed.shard != s {
		return true
	}
	if !feed.slow || s.slow {
		return false
	}
	if feed.ready(now) {
		feed.deferred.CompareAndSwap(0, now.UnixNano())
	}
	if feed.inFlight.Load() == 0 {
		s.pipeline.untie(feed)
		s.sink.isolate(feed, s)
	}
	return true
}

// share is the CPU time that the chains of one container take in one shard. It belongs to the shard's fill loop.
type share struct {
	feeds int // that have it
	usage float64
	as    time.Time // when usage was that
	heavy bool
	// waits says that a feed was left without its turn, because it is heavy. By waiting nobody becomes light: on a busy
	// machine all who wait would at the same time, and then have their turns together, before the others.
	waits bool
}

// spend adds what a turn has taken.
func (s *share) spend(d time.Duration, now time.Time) {
	s.waits = false
	s.decay(now)
	s.usage += float64(d)
	s.heavy = s.heavy || d >= heavyOnce || s.usage >= float64(heavyUsage)
}

func (s *share) isHeavy(now time.Time) bool {
	if s.heavy && !s.waits {
		s.decay(now)
		s.heavy = s.usage > float64(lightUsage)
	}
	return s.heavy
}

func (s *share) decay(now time.Time) {
	if d := now.Sub(s.as); d > 0 {
		s.usage *= math.Exp2(-d.Seconds())
		s.as = now
	}
}

// ownerOf names whose share a source counts to: its container, or its declaration where the container is not known.
func ownerOf(s *record.Source) string {
	if name := s.Container(); name != "" {
		return "container " + name
	}
	return "declaration " + s.Declaration
}

// serve gives a feed its turn and returns how many bytes of the stream that consumed and how much CPU time its chain
// took.
func (s *shard) serve(f *inflightBatch, feed *Feed, now time.Time) (got int64, spent time.Duration) {
	chain := feed.reader.chain
	if chain == nil {
		return feed.read(f, now), 0
	}
	before := chain.CPU()
	got = feed.read(f, now)
	if feed.reader.chain == chain { // else it is a new one
		spent = chain.CPU() - before
		feed.share.spend(spent, now)
		feed.cpu.Add(int64(spent))
		feed.slow = feed.slow || spent >= slowRecord
	}
	return got, spent
}

// serveHeavy gives feeds of heavy containers their turns, beginning behind the one that was served last.
func (s *shard) serveHeavy(f *inflightBatch, now time.Time) (got int64, more bool) {
	if len(s.heavy) == 0 {
		for _, feed := range s.turn {
			if !s.isolates(feed, now) && feed.share.isHeavy(now) && feed.ready(now) && !feed.follows(now) {
				s.heavy = append(s.heavy, feed)
			}
		}
		defer func() { s.heavy = s.heavy[:0] }()
	}
	var spent time.Duration
	n := len(s.heavy)
	for i := range n {
		feed := s.heavy[(s.nextHeavy+i)%n]
		if spent >= heavyTurn || f.full {
			feed.deferred.CompareAndSwap(0, now.UnixNano())
			feed.share.waits = true
			more = true
			continue
		}
		read, took := s.serve(f, feed, now)
		got, spent = got+read, spent+took
		more = more || feed.reader.full
		s.checkFull(f)
		if spent >= heavyTurn || f.full {
			s.nextHeavy = (s.nextHeavy + i + 1) % n
		}
		if !feed.reader.full {
			feed.deferred.Store(0)
		}
	}
	return got, more
}
