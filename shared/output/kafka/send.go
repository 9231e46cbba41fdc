package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/remora-logs/remora/shared/output"
)

// chunk is a part of a queue, sent as one record batch.
type chunk struct {
	q       *queue
	records []*sarama.Record
}

// send sends what w holds, a record batch of each partition at a time, until all queues are empty or have failed. It is
// done by a goroutine of its own, which goes on to the answer, or to the time-out, when nobody waits for it any more, so
// that no partition is in doubt without need.
func (o *Output) send(ctx context.Context, w *workspace, v *verdict) {
	for _, q := range w.queues {
		<-q.p.turn
		q.err = v.stuck[q.p]
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
		answers := make(chan struct{}, len(chunks))
		for broker, of := range chunks {
			go func() {
				o.produce(w, broker, of, v)
				answers <- struct{}{}
			}()
		}
		for range chunks {
			<-answers
		}
	}
	for _, q := range w.queues {
		if left := q.index[q.sent:]; len(left) > 0 {
			v.retry(left, errors.Join(q.err, ctx.Err()))
		}
		if q.err != nil {
			v.stuck[q.p] = q.err
		}
	}
}

// round takes the next record batch off each queue that has not failed, by the broker that it goes to.
func (o *Output) round(w *workspace) map[*sarama.Broker][]chunk {
	chunks := make(map[*sarama.Broker][]chunk)
	for _, q := range w.queues {
		if q.err != nil || q.sent == len(q.records) {
			continue
		}
		leader, err := o.client.Leader(q.p.topic, q.p.id)
		if err != nil {
			q.err = fmt.Errorf("leader of %s/%d: %w", q.p.topic, q.p.id, err)
			continue
		}
		records := q.next(o.config.MaxMessageBytes)
		if o.idempotent {
			if records, err = q.p.settle(records, q.records[q.sent:], &o.producers); err != nil {
				q.err = err
				continue
			}
		}
		chunks[leader] = append(chunks[leader], chunk{q, records})
	}
	return chunks
}

// produce sends chunks to broker in one request and notes what became of each.
func (o *Output) produce(w *workspace, broker *sarama.Broker, chunks []chunk, v *verdict) {
	request := &sarama.ProduceRequest{
		RequiredAcks: o.sarama.Producer.RequiredAcks, Version: o.version,
		Timeout: int32(o.config.Timeout.Milliseconds()) / 2, // the broker gives up before we do
	}
	for _, c := range chunks {
		batch := w.recordBatch(c.records, o.sarama.Producer.Compression)
		if o.idempotent {
			batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = c.q.p.producer.id, c.q.p.epoch, c.q.p.next
		}
		request.AddBatch(c.q.p.topic, c.q.p.id, batch)
	}
	response, err := exchange(broker, request)
	if err != nil {
		// The connection may be out of step. It is made anew when it is needed.
		_ = broker.Close()
		for _, c := range chunks {
			c.q.fail(c.records, fmt.Errorf("%s: %w", broker.Addr(), err))
		}
		return
	}
	for _, c := range chunks {
		if request.RequiredAcks == sarama.NoResponse {
			c.q.advance(len(c.records))
			continue
		}
		block := response.GetBlock(c.q.p.topic, c.q.p.id)
		if block == nil {
			c.q.fail(c.records, fmt.Errorf("%s: no verdict on %s/%d", broker.Addr(), c.q.p.topic, c.q.p.id))
			continue
		}
		o.judge(c, block, broker, v)
	}
}

// exchange sends request and waits for the answer; several may be on their way on one connection. The response is nil
// where none was asked for.
func exchange(broker *sarama.Broker, request *sarama.ProduceRequest) (*sarama.ProduceResponse, error) {
	if request.RequiredAcks == sarama.NoResponse {
		return broker.Produce(request)
	}
	type answer struct {
		response *sarama.ProduceResponse
		err      error
	}
	answers := make(chan answer, 1)
	err := broker.AsyncProduce(request, func(r *sarama.ProduceResponse, err error) { answers <- answer{r, err} })
	if err != nil {
		return nil, err
	}
	a := <-answers
	return a.response, a.err
}

// judge notes the broker's verdict on c.
func (o *Output) judge(c chunk, block *sarama.ProduceResponseBlock, broker *sarama.Broker, v *verdict) {
	q := c.q
	err := fmt.Errorf("%s: %s/%d: %w", broker.Addr(), q.p.topic, q.p.id, block.Err)
	if block.ErrorMessage != nil && *block.ErrorMessage != "" {
		err = fmt.Errorf("%w: %s", err, *block.ErrorMessage)
	}
	switch block.Err {
	case sarama.ErrNoError, sarama.ErrDuplicateSequenceNumber:
		q.advance(len(c.records))
	case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge,
		sarama.ErrInvalidRecord, sarama.ErrInvalidTimestamp, sarama.ErrInvalidTopic:
		q.p.doubt = nil // all of it was refused
		q.split(c, block, err, v)
	case sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID,
		sarama.ErrInvalidProducerEpoch, sarama.ErrInvalidProducerIDMapping:
		// The broker no longer knows our sequence, as after it lost its state. There is no going on with it.
		q.p.forget()
		q.err = err
	case sarama.ErrNotLeaderForPartition, sarama.ErrUnknownTopicOrPartition, sarama.ErrLeaderNotAvailable,
		sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch, sarama.ErrReplicaNotAvailable:
		q.fail(c.records, err)
		_ = o.client.RefreshMetadata(q.p.topic) // its error shows when the partition is written to again
	default:
		q.fail(c.records, err)
	}
}

// advance notes that the next n records are with the broker.
func (q *queue) advance(n int) {
	q.p.taken(n)
	q.sent += n
	q.most = 0
}

// fail notes that records may be with the broker or not.
func (q *queue) fail(records []*sarama.Record, err error) {
	q.p.unsure(records)
	q.err = err
}

// split finds the records for which the broker refused a record batch: named by it, or by sending fewer at a time until
// one remains.
func (q *queue) split(c chunk, block *sarama.ProduceResponseBlock, err error, v *verdict) {
	switch {
	case len(c.records) == 1:
		v.refuse(q.index[q.sent], err)
		q.sent++
	case len(block.RecordErrors) > 0:
		// Taking records out of the midst is the pipeline's business: it sends the rest again.
		bad := make(map[int]bool)
		for _, e := range block.RecordErrors {
			if i := int(e.BatchIndex); i >= 0 && i < len(c.records) && !bad[i] {
				bad[i] = true
				v.refuse(q.index[q.sent+i], recordError(err, e))
			}
		}
		for i := range c.records {
			if !bad[i] {
				v.retry(q.index[q.sent+i:q.sent+i+1], err)
			}
		}
		q.sent += len(c.records)
		q.err = err
	default:
		q.most = len(c.records) / 2
	}
}

func recordError(err error, e sarama.ProduceResponseRecordError) error {
	if e.BatchIndexErrorMessage == nil {
		return err
	}
	return fmt.Errorf("%w: %s", err, *e.BatchIndexErrorMessage)
}

var _ output.Output = (*Output)(nil)
