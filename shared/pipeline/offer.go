// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// offer is a batch that one shard has filled and that a shard of another output may send as well. That shard takes the turns
// that its own feeds would read next. Until it has answered, or the offer is withdrawn, the batch's records do not change.
type offer struct {
	by, to *shard
	lease  *lease
	turns  []turn

	mu      sync.Mutex
	settled bool
}

// turn is one range of the batch as the feeds of other outputs see it.
type turn struct {
	ackRange
	records []record.Record
}

// withdraw settles the offer if it is not settled yet.
func (o *offer) withdraw() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.settled {
		o.settled = true
		o.lease.common.Leave()
	}
}

func (o *offer) isSettled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.settled
}

// offers holds the offers that a shard has not answered.
type offers struct {
	mu    sync.Mutex
	all   []*offer
	come  chan struct{} // has an element when an offer was added
	reply chan struct{} // has an element when another shard has answered an offer of this shard
}

func newOffers() offers {
	return offers{come: make(chan struct{}, 1), reply: make(chan struct{}, 1)}
}

// put adds an offer and drops those that were withdrawn: a shard whose output is down answers none, but may still be offered
// the first bytes of each new stream.
func (s *offers) put(o *offer) {
	s.mu.Lock()
	s.all = append(slices.DeleteFunc(s.all, (*offer).isSettled), o)
	s.mu.Unlock()
	wake(s.come)
}

// any reports whether there is an unanswered offer.
func (s *offers) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) > 0
}

// holds reports whether there is an offer with a turn of lead that begins at off.
func (s *offers) holds(lead *Feed, off int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.all {
		for i := range o.turns {
			if t := &o.turns[i]; t.feed == lead && t.from.pos.Done == off {
				return true
			}
		}
	}
	return false
}

// next removes and returns the oldest offer; nil if there is none.
func (s *offers) next() *offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return nil
	}
	o := s.all[0]
	s.all[0] = nil
	s.all = s.all[1:]
	return o
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// offer offers a filled batch to the shards of the followers that are where its turns begin. The batch is sent whatever they
// answer.
func (s *shard) offer(f *inflightBatch) {
	for i := range f.ranges {
		r := &f.ranges[i]
		for _, g := range r.feed.tee.all() {
			if g.tee.expects(r) {
				g.tee.promised, g.tee.offered = r.to.pos.Done, f.offerTo(g.tee.home, s)
			}
		}
	}
	if len(f.offers) > 0 {
		turns := turnsOf(f)
		for _, o := range f.offers {
			o.turns = turns
			o.to.offers.put(o)
		}
	}
	for i := range f.ranges { // after put, so that a feed that sees where the next batch begins also sees the offer
		if feed := f.ranges[i].feed; len(feed.tee.all()) > 0 {
			feed.tee.begins.Store(f.ranges[i].to.pos.Done)
		}
	}
}

// offerTo returns the batch's offer from by to to, which it makes if there is none yet.
func (f *inflightBatch) offerTo(to, by *shard) *offer {
	for _, o := range f.offers {
		if o.to == to {
			return o
		}
	}
	if f.lease == nil {
		f.lease = newLease(f.batch)
		f.common = f.lease.common
	}
	f.common.Join()
	o := &offer{by: by, to: to, lease: f.lease}
	f.offers = append(f.offers, o)
	return o
}

func turnsOf(f *inflightBatch) []turn {
	turns, from := make([]turn, len(f.ranges)), 0
	for i := range f.ranges {
		r := f.ranges[i]
		turns[i] = turn{r, f.batch.Records[from : from+r.records : from+r.records]}
		from += r.records
	}
	return turns
}

// settleOffers ends the offers of a batch that was sent. It waits for shards that have not answered as long as this shard has
// patience; then it withdraws their offers, and they read by themselves.
func (s *shard) settleOffers(ctx context.Context, f *inflightBatch) {
	for _, o := range f.offers {
		for !o.isSettled() && s.patience.left(time.Now()) > 0 && ctx.Err() == nil {
			begun := time.Now()
			timer := time.NewTimer(s.patience.left(begun))
			select {
			case <-s.offers.reply:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			s.patience.spend(begun, time.Now())
		}
	}
	f.withdrawOffers()
	f.regain()
}

func (f *inflightBatch) withdrawOffers() {
	for _, o := range f.offers {
		o.withdraw()
	}
	clear(f.offers)
	f.offers = f.offers[:0]
}

// keepForItself ends the sharing of a batch whose records are about to change. Shards that took a part of it have copied
// their records.
func (f *inflightBatch) keepForItself() {
	for _, o := range f.offers {
		o.withdraw()
	}
	f.leaveCommon()
}

func (f *inflightBatch) leaveCommon() {
	if f.common != nil {
		f.common.Leave()
		f.common = nil
	}
}

// accept answers the shard's offers until it has taken turns from one of them into f, which is empty. It reports whether it
// has taken any.
func (s *shard) accept(f *inflightBatch, now time.Time) bool {
	for o := s.offers.next(); o != nil; o = s.offers.next() {
		taken := s.take(f, o, now)
		wake(o.by.offers.reply)
		if taken {
			s.last, s.memoryReleased = now, false
			return true
		}
	}
	return false
}

// take adds to f the turns of an offer that the shard's own feeds would read next.
func (s *shard) take(f *inflightBatch, o *offer, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.settled {
		return false
	}
	o.settled = true
	all, own := true, f.batch
	f.batch = &f.shared
	for i := range o.turns {
		t := &o.turns[i]
		feed := t.feed.tee.in(s)
		if feed == nil || !feed.accepts(t, now) {
			all = false
			continue
		}
		feed.follow(f, t, now)
	}
	if f.common = o.lease.common; !all {
		f.leaveCommon()
	}
	if len(f.ranges) == 0 {
		f.batch = own
		return false
	}
	o.lease.join(own)
	f.lease = o.lease
	return true
}
