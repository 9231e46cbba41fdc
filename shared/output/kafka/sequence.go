// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// partition is a partition of a topic, with what the broker was told about the order of its records.
//
// The broker stores a batch once, however often it is sent, if it comes with the same producer id, epoch and sequence numbers.
// So a batch whose outcome is not known is sent again with its numbers. If other records are sent instead, because the
// pipeline has made other batches, they are sent with a producer id that is new to the partition: with the old one the broker
// would take them for duplicates and drop them.
type partition struct {
	topic  string
	id     int32
	order  int          // the order of locking, so that two batches can't wait for each other
	leader atomic.Int32 // number of the leading broker; negative if there is none

	turn chan struct{} // holds one token, which send takes to send and to use the fields below
	producer
	next        int32        // the sequence number of the next record; after 2³¹-1 comes 0
	unconfirmed *unconfirmed // the batch that was sent last, if its outcome is not known
}

// producer is the result of InitProducerID; epoch -1 means none.
type producer struct {
	id    int64
	epoch int16
}

var none = producer{id: -1, epoch: -1}

// unconfirmed identifies a record batch by its length and its records' identities.
type unconfirmed struct {
	records int
	sum     uint64
}

var seed = maphash.MakeSeed()

// settle returns how many of q's records to send from the sequence number p.next on: those of the unconfirmed batch if q
// begins with them, or else n. If another batch is unconfirmed, it takes a new producer id.
func (p *partition) settle(q *queue, n int, producers *producers) (int, error) {
	if p.unconfirmed != nil {
		if n := p.unconfirmed.records; n <= q.left() && q.fingerprint(n) == p.unconfirmed.sum {
			return n, nil
		}
		p.resetProducer()
	}
	if p.producer != none {
		return n, nil
	}
	fresh, err := producers.unused(p)
	if err != nil {
		return 0, err
	}
	p.producer, p.next = fresh, 0
	return n, nil
}

// taken notes that the broker has the next n records.
func (p *partition) taken(n int) {
	p.next = int32((int64(p.next) + int64(n)) & 0x7fffffff)
	p.unconfirmed = nil
}

// unsure notes that the broker may or may not have q's next n records.
func (p *partition) unsure(q *queue, n int) {
	p.unconfirmed = &unconfirmed{records: n, sum: q.fingerprint(n)}
}

// resetProducer makes the next batch use a producer id that is new to the partition.
func (p *partition) resetProducer() { p.producer, p.unconfirmed = none, nil }

// producers hands out producer ids. Partitions share one until one of them needs another.
type producers struct {
	client *kgo.Client

	mu      sync.Mutex
	current producer
	users   map[*partition]struct{} // that have used current
}

// unused returns a producer id that p has not used.
func (s *producers) unused(p *partition) (producer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.users[p]; used || s.users == nil {
		fresh, err := s.request()
		if err != nil {
			return none, err
		}
		s.current, s.users = fresh, make(map[*partition]struct{})
	}
	s.users[p] = struct{}{}
	return s.current, nil
}

// request asks any broker for a producer id.
func (s *producers) request() (producer, error) {
	response, from, err := ask[*kmsg.InitProducerIDResponse](context.Background(), s.client, kmsg.NewPtrInitProducerIDRequest())
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return none, fmt.Errorf("%s: InitProducerID: %w", from, err)
	}
	return producer{response.ProducerID, response.ProducerEpoch}, nil
}
