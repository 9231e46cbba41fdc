// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/remora-logs/remora/shared/output/internal/probe"
	"github.com/remora-logs/remora/shared/record"
)

// Output produces to Kafka.
type Output struct {
	config     Config
	key        partitionKey
	client     *kgo.Client
	acks       int16
	idempotent bool
	compressor kgo.Compressor // nil for no compression
	topics     topics
	producers  producers
	spaces     sync.Pool
}

// Open returns the output. It sends nothing to the brokers.
func Open(c Config) (*Output, error) {
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	key, err := parseKey(c.PartitionKey)
	if err != nil {
		return nil, err
	}
	compressor, err := newCompressor(c.Codec)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	o := &Output{
		config: c, key: key, client: client, acks: acks[c.Acks].number, compressor: compressor,
		topics:    topics{client: client, known: make(map[string]*knowledge), brokers: make(map[int32]string)},
		producers: producers{client: client},
	}
	o.idempotent = c.Idempotent && o.acks == -1
	o.spaces.New = func() any { return newWorkspace(c.MaxMessageBytes) }
	return o, nil
}

// Write produces b and returns when the replicas that KAFKA_REQUIRE_ACKS demands have it. Requests in flight when ctx ends
// continue, from memory of the output's own.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	topics := make(map[string]*topic)
	var last *record.Source
	for i := range b.Records {
		if s := b.Records[i].Source; s != last {
			topics[o.topicOf(s)], last = nil, s
		}
	}
	if err := o.topics.find(ctx, topics); err != nil {
		return err
	}
	v := newVerdict()
	for at := 0; at < len(b.Records); {
		w := o.spaces.Get().(*workspace)
		at = o.fill(w, b, at, topics, v)
		if err := o.deliver(ctx, w, v); err != nil {
			return err
		}
	}
	return v.result(len(b.Records))
}

// deliver sends what w holds, and then returns w for reuse.
func (o *Output) deliver(ctx context.Context, w *workspace, v *verdict) error {
	done := make(chan struct{})
	go func() {
		o.send(ctx, w, v)
		o.spaces.Put(w)
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done: // just in time: records that were taken are not sent again
		return nil
	default:
		return ctx.Err()
	}
}

// requestBytes is how much of a batch is encoded and sent at a time. Larger requests leave the near caches before they are
// sent, and cost memory (here and in the library, which copies them once); smaller ones wake more threads.
const requestBytes = 512 << 10

// fill encodes b's records from at on and queues them by partition until a request is full. It returns the index of the next
// record.
func (o *Output) fill(w *workspace, b *record.Batch, at int, topics map[string]*topic, v *verdict) int {
	w.reset(b.Records[at].Time)
	var (
		last *record.Source
		rt   *route
		i    = at
	)
	for ; i < len(b.Records) && w.used < requestBytes; i++ {
		r := &b.Records[i]
		if r.Source != last {
			last = r.Source
			t := topics[o.topicOf(last)]
			if rt = w.routes[last]; rt == nil || rt.topic != t {
				rt = o.route(last, t)
				w.routes[last] = rt
			}
		}
		switch {
		case rt.topic.refused:
			v.refuse(i, rt.topic.err)
		case rt.topic.blocked:
			v.block(o.topicOf(last), rt.topic.err, int32(i))
		case rt.topic.err != nil:
			v.retry(rt.topic.err, int32(i))
		default:
			w.add(o, rt, r, i)
		}
	}
	sortByOrder(w.queues)
	return i
}

// route returns what the records of s share on their way to t.
func (o *Output) route(s *record.Source, t *topic) *route {
	rt := &route{topic: t}
	if t.err != nil {
		return rt
	}
	for _, tag := range s.Tags[len(s.Tags)-s.Origin:] {
		rt.headers = appendBytes(appendBytes(rt.headers, tag.Key), tag.Value)
	}
	rt.identity = appendBytes(binary.AppendVarint(nil, int64(1+s.Origin)), identityHeader)
	rt.idAt = len(rt.identity)
	rt.identity = s.AppendIDStart(append(rt.identity, noLength[:1]...))
	if key, fixed := o.key.of(s); fixed {
		rt.key = appendBytes([]byte(nil), key)
		rt.partition = t.partition(partitionOf(key, t.count()))
	}
	return rt
}

func (o *Output) topicOf(s *record.Source) string {
	if s.Topic == "" {
		return o.config.DefaultTopic
	}
	return s.Topic
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	name := o.topicOf(r.Source)
	return append(dst, destination(name[:min(len(name), maxTopic)])...)
}

// Close closes the connections.
func (o *Output) Close() error {
	o.client.Close()
	return nil
}

// Check authenticates at a broker and asks for the list of brokers.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{} // no topics; nil would mean all
	answer, err := r.RequestWith(ctx, o.client)
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "", &probe.Denied{Cause: err}
	case err != nil:
		return "", err
	}
	return fmt.Sprintf("a cluster of %d brokers", len(answer.Brokers)), nil
}
