// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// A container whose formats and filters take much CPU time is heavy. In a round all feeds of light containers have their turn
// first, and then those of heavy ones until together they have taken heavyTurn. So a light container waits for heavyTurn at
// most, and a container that is alone in its shard is not limited.
const (
	// heavyTurn is the CPU time of heavy chains in a round.
	heavyTurn = 10 * time.Millisecond
	// A container becomes heavy when its chains take heavyOnce in one turn, or when their recent usage, which decays by half
	// each second, reaches heavyUsage. It becomes light again when the usage has fallen to lightUsage.
	heavyOnce, heavyUsage, lightUsage = 5 * time.Millisecond, 100 * time.Millisecond, 5 * time.Millisecond
)

// slowRecord is the CPU time of one turn that makes a feed slow. A turn ends after the record that uses up heavyTurn, so
// most of that time went into a single record.
const slowRecord = 50 * time.Millisecond

// isolates moves a slow feed to the slow shard as soon as it has nothing in flight, and reports whether the feed has no more
// turns in this one. It must be called before anything else of the feed is used, which may belong to the slow shard already.
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
	feeds int       // number of feeds that have it; guarded by the shard's mu
	usage float64   // decayed, in ns
	as    time.Time // the time that usage is as of
	heavy bool
	// waits means that a feed did not get its turn because the share is heavy. A share does not become light by waiting: on a
	// busy machine all that wait would become light at the same time, and have their turns together, before the others.
	waits bool
}

// spend adds the CPU time of a turn.
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

// ownerOf returns the name of the share that a source counts to: its container's, or its declaration's if the container is
// not known.
func ownerOf(s *record.Source) string {
	if name := s.Container(); name != "" {
		return "container " + name
	}
	return "declaration " + s.Declaration
}

// serve gives a feed its turn. It returns how many bytes of the stream the turn consumed and how much CPU time its chain took.
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

// serveHeavy gives feeds of heavy containers their turns, starting after the one that was served last. It returns the number
// of bytes consumed, and whether a stream has more.
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
