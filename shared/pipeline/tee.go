// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
)

// tee ties a feed to those of the same stream and declaration to other outputs. One of them leads: while the others are at
// the same place, they take their records from the batches that its shard has filled, and read nothing. A feed at another
// place, because its output was down or is slower or its records wait, reads by itself. It ends a turn at the place of
// another feed, so that they meet again.
type tee struct {
	lead      atomic.Pointer[Feed]    // the feed that it follows; nil for none
	followers atomic.Pointer[[]*Feed] // the feeds that follow it
	home      *shard                  // the shard that it was added to; it is untied before it is isolated

	// reached is where its last turn ended, or nowhere. begins is where a lead's first turn begins that has not been offered
	// yet. Both are hints: a follower compares the exact places when it takes a turn.
	reached, begins atomic.Int64
	// offered is the last offer to this follower, and promised where its last turn ends. The lead's fill loop owns both.
	offered  *offer
	promised int64

	// since is when the feed began to wait for bytes that the stream has, and alone is until when it does not wait. The
	// feed's own fill loop owns both.
	since, alone time.Time
}

// nowhere is the place of a feed that no other can meet now.
const nowhere = -1

const (
	// awaitsFor bounds how long a feed waits for its lead's turn. A shard with many busy streams gets to each in that time.
	awaitsFor = time.Second
	// aloneFor is how long it reads by itself after it waited in vain.
	aloneFor = 10 * time.Second
	// meetWithin is the largest distance, in bytes of the stream, over which one feed waits for another.
	meetWithin = 8 << 20
)

// followable is a stream whose reader may skip bytes that another reader of the same stream has read. Follow reports whether
// it may skip those from from up to to. If so, the stream is in the same state as if ReadAt had returned them.
type followable interface {
	Follow(from, to int64) bool
}

// all returns the feeds that follow.
func (t *tee) all() []*Feed {
	if all := t.followers.Load(); all != nil {
		return *all
	}
	return nil
}

// in returns the follower in shard s; nil if there is none.
func (t *tee) in(s *shard) *Feed {
	for _, f := range t.all() {
		if f.tee.home == s {
			return f
		}
	}
	return nil
}

// leadFor returns the feed that a feed of this route can follow; nil if there is none. The caller holds p.mu.
func (p *Pipeline) leadFor(r *Route) *Feed {
	if _, ok := r.Stream.(followable); !ok || r.Rules == "" {
		return nil
	}
	for name := range p.sinks {
		f := p.feeds[checkpoint.Key{Stream: r.Stream.Key(), Declaration: r.Source.Declaration, Output: name}]
		if name == r.Output || f == nil || f.route.Rules != r.Rules || f.detached.Load() {
			continue
		}
		if lead := f.tee.lead.Load(); lead != nil {
			return lead
		}
		return f
	}
	return nil
}

// tie makes f follow lead. The caller holds p.mu.
func (p *Pipeline) tie(f, lead *Feed) {
	all := append(slices.Clone(lead.tee.all()), f)
	lead.tee.followers.Store(&all)
	f.tee.lead.Store(lead)
}

// untie makes f neither follow nor lead.
func (p *Pipeline) untie(f *Feed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.untieLocked(f)
}

func (p *Pipeline) untieLocked(f *Feed) {
	if lead := f.tee.lead.Swap(nil); lead != nil {
		left := slices.DeleteFunc(slices.Clone(lead.tee.all()), func(g *Feed) bool { return g == f })
		lead.tee.followers.Store(&left)
	}
	if all := f.tee.followers.Swap(nil); all != nil {
		for _, g := range *all {
			g.tee.lead.CompareAndSwap(f, nil)
		}
	}
}

// expects reports whether the follower is where a turn of its lead begins, or will be there if it takes what it was offered.
func (t *tee) expects(r *ackRange) bool {
	at := r.from.pos.Done
	if !r.common {
		return false
	}
	return t.promised == at && t.offered != nil && !t.offered.isSettled() || t.reached.Load() == at
}

// showPlace shows f's place to other feeds.
func (f *Feed) showPlace() {
	if f.reader.common {
		f.tee.reached.Store(f.reader.at.pos.Done)
	} else {
		f.tee.reached.Store(nowhere)
	}
}

// meeting returns where a turn that begins at from must end: at the place of another feed if that is before to, else at to.
func (f *Feed) meeting(from, to int64) int64 {
	stop := func(g *Feed) {
		if at := g.tee.reached.Load(); at > from && at < to && at != f.reader.missed {
			to = at
		}
	}
	if lead := f.tee.lead.Load(); lead != nil {
		stop(lead)
	}
	for _, g := range f.tee.all() {
		stop(g)
	}
	return to
}

// awaits reports whether f skips its turn, because its lead reads what comes next or because two feeds are about to meet.
func (f *Feed) awaits(now time.Time) bool {
	if lead := f.tee.lead.Load(); lead != nil {
		return f.awaitsLead(lead, now)
	}
	for _, g := range f.tee.all() {
		// A follower that has an offer, or will have the next one, is not behind.
		if g.tee.reached.Load() < f.tee.begins.Load() && (g.tee.offered == nil || g.tee.offered.isSettled()) && f.meets(g, now) {
			return true
		}
	}
	f.tee.since = time.Time{}
	return false
}

func (f *Feed) awaitsLead(lead *Feed, now time.Time) bool {
	if now.Before(f.tee.alone) || !f.reader.common {
		return false
	}
	begins, at := lead.tee.begins.Load(), f.reader.at.pos.Done // begins before the offers: see shard.offer
	if at < begins && f.shard.offers.holds(lead, at) {
		return true
	}
	if at < begins || at > lead.tee.reached.Load() || !lead.turns(now) {
		if at > begins && f.meets(lead, now) {
			return true
		}
		f.tee.since = time.Time{}
		return false
	}
	if f.route.Stream.End() <= f.reader.cursor {
		f.tee.since = time.Time{} // there is nothing to read; only time can end an unfinished record
		return true
	}
	if f.tee.since.IsZero() {
		f.tee.since = now
	}
	if lead.tee.home.blocked.Load() != 0 && f.shard.patience.spend(f.tee.since, now) == 0 {
		return false
	}
	if now.Sub(f.tee.since) < awaitsFor {
		return true
	}
	f.tee.since, f.tee.alone = time.Time{}, now.Add(aloneFor)
	return false
}

// meets reports whether f waits for g, which is behind it and is catching up. It waits as long as its shard has patience.
func (f *Feed) meets(g *Feed, now time.Time) bool {
	reached := g.tee.reached.Load()
	behind := f.reader.at.pos.Done - reached
	if reached == nowhere || behind <= 0 || behind > meetWithin || !f.reader.common || !g.turns(now) {
		return false
	}
	if since := g.tee.home.blocked.Load(); since != 0 && now.UnixNano()-since > int64(mostPatience) {
		return false // its output is down
	}
	if f.tee.since.IsZero() {
		f.tee.since = now
	}
	return f.shard.patience.spend(f.tee.since, now) > 0
}

// turns reports whether f gets turns in its shard now.
func (f *Feed) turns(now time.Time) bool {
	return !f.held(now) && !f.detached.Load() && f.deferred.Load() == 0
}

// accepts reports whether f would read the turn next itself, and exactly as its lead has read it.
func (f *Feed) accepts(t *turn, now time.Time) bool {
	r := &f.reader
	if !t.common || !r.common || r.suspects != nil || f.shard != f.tee.home || f.epoch.Load() != r.epoch || r.finished || f.detached.Load() || f.held(now) ||
		!r.at.same(&t.from) || r.cursor < r.resumed || f.mustFollow(f.older.Load(), now) || !f.hasRoom(t.to.pos.Done) {
		return false
	}
	return f.route.Stream.(followable).Follow(t.from.pos.Done, t.to.pos.Done)
}

// same reports whether readers at the two places read on alike.
func (p *place) same(o *place) bool {
	return p.pos == o.pos && p.learned == o.learned && p.judged.Sampled == o.judged.Sampled
}

// hasRoom reports whether f may be read up to to, and has no settled records to look for in what it reads.
func (f *Feed) hasRoom(to int64) bool {
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting == nil && l.settled == nil && (f.maxInFlight == 0 || to-l.acked.Done <= f.maxInFlight)
}

// follow adds a turn of another feed to the batch as if f had read it. The batch has its own records; their contents are in
// memory that the lease keeps.
func (f *Feed) follow(fl *inflightBatch, t *turn, now time.Time) {
	r, l, b := &f.reader, &f.ledger, fl.batch
	from := len(b.Records)
	b.Records = append(b.Records, t.records...)
	r.numberSameTimes(b.Records[from:])
	if !r.follows {
		r.discard()
		r.cutter, r.chain, r.follows = nil, nil, true
	}
	s := ackRange{feed: f, epoch: r.epoch, from: r.at, to: t.to, cost: t.cost, records: t.ackRange.records, read: t.read,
		newest: t.newest, written: t.written}
	r.at, r.cursor, r.scannedTo, r.tailTorn, r.full = t.to, t.to.pos.Done, t.to.pos.Done, false, false
	f.tee.since = time.Time{}
	f.showPlace()
	l.mu.Lock()
	if s.epoch == f.epoch.Load() { // else it is void, and read again
		fresh := l.fresh(s.read)
		l.inflight.add(s.read)
		l.counts.read(fresh)
	}
	l.cursor, l.scannedTo = max(l.cursor, r.cursor), r.scannedTo
	l.mu.Unlock()
	fl.add(s, int(s.cost), now)
}

// readAlone makes a feed that has followed read by itself from its place, as after a restart.
func (f *Feed) readAlone(now time.Time) bool {
	r := &f.reader
	at, lastTime, sameTime := r.at, r.lastTime, r.sameTime
	if err := r.begin(f, at.pos, at.learned, at.judged, r.epoch); err != nil {
		f.noteError(err, now)
		return false
	}
	r.lastTime, r.sameTime = lastTime, sameTime
	f.watch()
	return true
}

// patience is a budget of time in which a shard waits for others: a tenth of the time that passes, saved up to mostPatience.
// Once it is used up, half of mostPatience must be saved before the shard waits again.
type patience struct {
	saved time.Duration
	as    time.Time // when saved was that
	spent time.Time // up to when waiting was paid for
	out   bool      // it is used up
}

const mostPatience = 200 * time.Millisecond

// left returns how long the shard may wait now.
func (p *patience) left(now time.Time) time.Duration {
	if p.as.IsZero() {
		p.saved = mostPatience
	} else if d := now.Sub(p.as); d > 0 {
		p.saved = min(mostPatience, p.saved+d/10)
	}
	p.as = now
	if p.out = p.out && p.saved < mostPatience/2; p.out {
		return 0
	}
	return p.saved
}

// spend subtracts the time from begun to now, only once if several feeds wait at the same time, and returns what is left.
func (p *patience) spend(begun, now time.Time) time.Duration {
	p.left(now)
	if begun.Before(p.spent) {
		begun = p.spent
	}
	if now.After(begun) {
		p.saved = max(0, p.saved-now.Sub(begun))
		p.spent = now
	}
	if p.out = p.out || p.saved < leastPatience; p.out {
		return 0
	}
	return p.saved
}

// leastPatience is the shortest time worth waiting.
const leastPatience = time.Millisecond
