// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/remora-logs/remora/shared/output"
)

// chunk is the next records of a queue, to be sent as one record batch.
type chunk struct {
	q       *queue
	records int
}

// send sends what w holds, one record batch of each partition at a time, until all queues are empty or have failed. It runs in
// its own goroutine, which waits for the answer or the timeout even if Write has returned, so that no batch stays unconfirmed
// without need.
func (o *Output) send(ctx context.Context, w *workspace, v *verdict) {
	for _, q := range w.queues {
		<-q.p.turn
		q.err, q.blocked = v.stuck[q.p].err, v.stuck[q.p].blocked
	}
	defer func() {
		for _, q := range w.queues {
			q.p.turn <- struct{}{}
		}
	}()
	for ctx.Err() == nil {
		chunks := o.round(w)
		if len(chunks) == 0 {
			break
		}
		o.produceAll(w, chunks, v)
	}
	for _, q := range w.queues {
		switch left := q.index[q.sent:]; {
		case len(left) == 0:
		case q.blocked:
			v.block(q.p.topic, q.err, left...)
		default:
			v.retry(errors.Join(q.err, ctx.Err()), left...)
		}
		if q.err != nil {
			v.stuck[q.p] = stuck{q.err, q.blocked}
		}
	}
}

// produceAll sends chunks, to all brokers concurrently.
func (o *Output) produceAll(w *workspace, chunks map[int32][]chunk, v *verdict) {
	var others sync.WaitGroup
	defer others.Wait()
	left := len(chunks)
	for leader, of := range chunks {
		if left--; left == 0 {
			o.produce(w, leader, of, v) // usually there is one leader, which needs no other goroutine
			return
		}
		others.Go(func() { o.produce(w, leader, of, v) })
	}
}

// round takes the next record batch of each queue that has not failed, and groups them by broker.
func (o *Output) round(w *workspace) map[int32][]chunk {
	chunks := make(map[int32][]chunk)
	for _, q := range w.queues {
		if q.err != nil || q.left() == 0 {
			continue
		}
		leader := q.p.leader.Load()
		if leader < 0 {
			q.err = fmt.Errorf("leader of %s/%d: %w", q.p.topic, q.p.id, kerr.LeaderNotAvailable)
			o.topics.expire(q.p.topic)
			continue
		}
		n := q.next()
		if o.idempotent {
			if n, q.err = q.p.settle(q, n, &o.producers); q.err != nil {
				continue
			}
		}
		chunks[leader] = append(chunks[leader], chunk{q, n})
	}
	return chunks
}

// produceRequest changes the broker's time to answer: the library would add the time that the broker may wait for replicas to
// the timeout, which includes it.
type produceRequest struct{ *kmsg.ProduceRequest }

// Timeout returns 0 to the library, which is its only caller.
func (produceRequest) Timeout() int32 { return 0 }

// AppendTo allocates all memory at once. The library would grow it partition by partition.
func (r produceRequest) AppendTo(dst []byte) []byte {
	size := 64
	for i := range r.Topics {
		size += 64 + len(r.Topics[i].Topic)
		for j := range r.Topics[i].Partitions {
			size += 32 + len(r.Topics[i].Partitions[j].Records)
		}
	}
	return r.ProduceRequest.AppendTo(slices.Grow(dst, size))
}

// produce sends chunks to the broker in one request, and notes the outcome of each.
func (o *Output) produce(w *workspace, broker int32, chunks []chunk, v *verdict) {
	address := o.topics.address(broker)
	response, err := o.exchange(broker, o.request(w, chunks))
	if err != nil {
		for _, c := range chunks {
			c.q.fail(c.records, fmt.Errorf("%s: %w", address, err))
			o.topics.expire(c.q.p.topic)
		}
		return
	}
	for _, c := range chunks {
		if o.acks == 0 {
			c.q.advance(c.records)
			continue
		}
		said := find(response, c.q.p)
		if said == nil {
			c.q.fail(c.records, fmt.Errorf("%s: no verdict on %s/%d", address, c.q.p.topic, c.q.p.id))
			continue
		}
		o.judge(c, said, address, v)
	}
}

// request returns the request for chunks.
func (o *Output) request(w *workspace, chunks []chunk) *kmsg.ProduceRequest {
	request := kmsg.NewPtrProduceRequest()
	request.Acks = o.acks
	request.TimeoutMillis = int32(min(o.config.Timeout.Milliseconds()/2, 1<<31-1)) // the broker gives up before we do
	for _, c := range chunks {
		batch, last := c.q.take(c.records)
		s := stamp{count: c.records, base: w.base, last: w.base + last, producer: none, sequence: -1}
		if o.idempotent {
			s.producer, s.sequence = c.q.p.producer, c.q.p.next
		}
		batch, s.codec = c.q.pack(batch, o.compressor)
		seal(batch, s, &c.q.folded)

		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = c.q.p.id, batch
		i := slices.IndexFunc(request.Topics, func(t kmsg.ProduceRequestTopic) bool { return t.Topic == c.q.p.topic })
		if i < 0 {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, i = c.q.p.topic, len(request.Topics)
			request.Topics = append(request.Topics, t)
		}
		request.Topics[i].Partitions = append(request.Topics[i].Partitions, p)
	}
	return request
}

// exchange sends request and waits for the answer. Several may be in flight on one connection. A request is never sent twice:
// if the connection breaks after a byte of it was written, exchange fails. It does not stop before the timeout, because until
// then the library reads the records from our memory.
func (o *Output) exchange(broker int32, request *kmsg.ProduceRequest) (*kmsg.ProduceResponse, error) {
	var r kmsg.Request = produceRequest{request}
	if o.acks == 0 {
		r = request // by its type the library knows that there will be no answer
	}
	response, err := o.client.Broker(int(broker)).Request(context.Background(), r)
	if err != nil {
		return nil, err
	}
	produced, ok := response.(*kmsg.ProduceResponse)
	if !ok {
		return nil, fmt.Errorf("an answer of another kind, %T", response)
	}
	return produced, nil
}

// find returns the verdict on p's record batch; nil if there is none.
func find(response *kmsg.ProduceResponse, p *partition) *kmsg.ProduceResponseTopicPartition {
	for i := range response.Topics {
		t := &response.Topics[i]
		if t.Topic != p.topic {
			continue
		}
		for j := range t.Partitions {
			if t.Partitions[j].Partition == p.id {
				return &t.Partitions[j]
			}
		}
	}
	return nil
}

// judge notes the broker's verdict on c.
func (o *Output) judge(c chunk, said *kmsg.ProduceResponseTopicPartition, address string, v *verdict) {
	q, code := c.q, kerr.ErrorForCode(said.ErrorCode)
	if code == nil || code == kerr.DuplicateSequenceNumber {
		q.advance(c.records)
		return
	}
	err := fmt.Errorf("%s: %s/%d: %w", address, q.p.topic, q.p.id, code)
	if said.ErrorMessage != nil && *said.ErrorMessage != "" {
		err = fmt.Errorf("%w: %s", err, *said.ErrorMessage)
	}
	switch code {
	case kerr.MessageTooLarge, kerr.RecordListTooLarge,
		kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.InvalidTopicException:
		q.p.unconfirmed = nil // all of it was refused
		q.split(c.records, said, err, v)
	case kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID,
		kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping:
		// The broker no longer knows our sequence, for instance after it lost its state. A new one is needed.
		q.p.resetProducer()
		q.err = err
	case kerr.TopicAuthorizationFailed, kerr.PolicyViolation, kerr.InvalidConfig, kerr.UnsupportedForMessageFormat,
		kerr.UnsupportedCompressionType:
		// An operator has to mend the topic, or our rights to it. None of the batch was taken.
		q.p.unconfirmed = nil
		q.err, q.blocked = err, true
		o.topics.expire(q.p.topic)
	case kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable,
		kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.ReplicaNotAvailable:
		q.fail(c.records, err)
		o.topics.expire(q.p.topic)
	default:
		q.fail(c.records, err)
	}
}

// advance notes that the broker has the next n records.
func (q *queue) advance(n int) {
	q.p.taken(n)
	q.sent += n
	q.most = 0
}

// fail notes that the broker may or may not have the next n records.
func (q *queue) fail(n int, err error) {
	q.p.unsure(q, n)
	q.err = err
}

// split finds the records, among the next n, for which the broker refused the record batch: the broker names them, or fewer
// are sent at a time until one remains.
func (q *queue) split(n int, said *kmsg.ProduceResponseTopicPartition, err error, v *verdict) {
	index := q.index[q.sent : q.sent+n]
	switch {
	case n == 1:
		v.refuse(int(index[0]), err)
		q.sent++
	case len(said.ErrorRecords) > 0:
		// The pipeline removes the refused records: it sends the rest again.
		bad := make(map[int]bool)
		for _, e := range said.ErrorRecords {
			if i := int(e.RelativeOffset); i >= 0 && i < n && !bad[i] {
				bad[i] = true
				v.refuse(int(index[i]), recordError(err, e))
			}
		}
		for i := range index {
			if !bad[i] {
				v.retry(err, index[i])
			}
		}
		q.sent += n
		q.err = err
	default:
		q.most = n / 2
	}
}

func recordError(err error, e kmsg.ProduceResponseTopicPartitionErrorRecord) error {
	if e.ErrorMessage == nil {
		return err
	}
	return fmt.Errorf("%w: %s", err, *e.ErrorMessage)
}

var _ output.Output = (*Output)(nil)
