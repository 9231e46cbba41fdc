package kafka

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/IBM/sarama"
)

// partition is where records of one topic are appended, and what the broker was told about their order.
//
// The broker stores a batch once, however often it is sent, if it comes with the same producer id, epoch and sequence
// numbers. So a batch whose fate is not known is sent again under the numbers it had; and where other records are sent
// instead, because the pipeline put its batches together anew, they are sent under a producer id that the partition has
// not seen: under the old one the broker would take them for the others, and drop them.
type partition struct {
	topic string
	id    int32
	order int // in which partitions are locked, so that two batches can't wait for each other

	turn chan struct{} // holds one token: who has it may send, and owns what is below
	producer
	next  int32  // the sequence number of the next record; after 2³¹-1 comes 0
	doubt *doubt // the batch that was sent last, if it is not known what became of it
}

// producer is what InitProducerID gives; epoch -1 is none.
type producer struct {
	id    int64
	epoch int16
}

var none = producer{id: -1, epoch: -1}

// doubt is a record batch, known again by its length and the identities in it.
type doubt struct {
	records int
	sum     uint64
}

var seed = maphash.MakeSeed()

// fingerprint is of the records' identities, in order.
func fingerprint(records []*sarama.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, r := range records {
		_, _ = h.Write(r.Headers[0].Value)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// settle returns the records to be sent under p.next: those of the batch in doubt, if records begin with them, else
// records, under a new producer id if another batch is in doubt.
func (p *partition) settle(records []*sarama.Record, rest []*sarama.Record, producers *producers) ([]*sarama.Record, error) {
	if p.doubt != nil {
		if n := p.doubt.records; n <= len(rest) && fingerprint(rest[:n]) == p.doubt.sum {
			return rest[:n], nil
		}
		p.forget()
	}
	if p.producer != none {
		return records, nil
	}
	fresh, err := producers.unused(p)
	if err != nil {
		return nil, err
	}
	p.producer, p.next = fresh, 0
	return records, nil
}

// taken notes that the broker has the next n records.
func (p *partition) taken(n int) {
	p.next = int32((int64(p.next) + int64(n)) & 0x7fffffff)
	p.doubt = nil
}

// unsure notes that the broker may have records, or not.
func (p *partition) unsure(records []*sarama.Record) {
	p.doubt = &doubt{records: len(records), sum: fingerprint(records)}
}

// forget has the next batch sent under a producer id that is new to the partition.
func (p *partition) forget() { p.producer, p.doubt = none, nil }

// producers hands out producer ids. Partitions share one until one of them needs another.
type producers struct {
	client sarama.Client

	mu      sync.Mutex
	current producer
	users   map[*partition]struct{} // who has used current
}

// unused is a producer id that p has not used.
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

func (s *producers) request() (producer, error) {
	broker := s.client.LeastLoadedBroker()
	if broker == nil {
		return none, fmt.Errorf("InitProducerID: %w", sarama.ErrOutOfBrokers)
	}
	request := &sarama.InitProducerIDRequest{ProducerID: none.id, ProducerEpoch: none.epoch}
	switch v := s.client.Config().Version; {
	case v.IsAtLeast(sarama.V2_5_0_0):
		request.Version = 3
	case v.IsAtLeast(sarama.V2_4_0_0):
		request.Version = 2
	case v.IsAtLeast(sarama.V2_0_0_0):
		request.Version = 1
	}
	response, err := broker.InitProducerID(request)
	if err != nil {
		_ = broker.Close() // it is opened again when it is needed
		return none, fmt.Errorf("%s: InitProducerID: %w", broker.Addr(), err)
	}
	if response.Err != sarama.ErrNoError {
		return none, fmt.Errorf("%s: InitProducerID: %w", broker.Addr(), response.Err)
	}
	return producer{response.ProducerID, response.ProducerEpoch}, nil
}
