// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic holds a topic's partitions as they were when a batch was started.
type topic struct {
	partitions []*partition
	err        error // why the partitions are not known
	refused    bool  // it can't be a topic's name
	blocked    bool  // the broker knows no such topic, or we may not use it
}

func (t *topic) count() int32                  { return int32(len(t.partitions)) }
func (t *topic) partition(id int32) *partition { return t.partitions[id] }

// topics holds what is known of the cluster: the partitions of topics, whose number may grow, their leaders, and the brokers'
// addresses.
type topics struct {
	client *kgo.Client

	mu      sync.Mutex
	known   map[string]*knowledge
	brokers map[int32]string // addresses
	order   int              // how many partitions were made
}

// knowledge is a topic as a broker described it.
type knowledge struct {
	topic *topic
	until time.Time // when to ask again, for partitions that were added
	stale bool      // a broker's answer was a reason to ask again
}

// maxAge is how long a description of a topic is used: metadata.max.age.ms of Kafka's own clients.
const maxAge = 5 * time.Minute

// perRequest is how many topics are asked for at once, so that the answer stays well below maxAnswer: a partition takes less
// than 50 bytes in it.
const perRequest = 16

// find fills in the topics for all names. It asks a broker only about topics that are new, old or stale. A topic that can't be
// found has an error, except that an old description is used if there is no newer one.
func (c *topics) find(ctx context.Context, all map[string]*topic) error {
	missing := c.recall(all)
	if len(missing) == 0 {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.learn(ctx, missing)
	}()
	select {
	case <-done:
		for name := range all {
			if t := missing[name]; t != nil {
				all[name] = t
			}
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recall fills in what is known, and returns the topics to ask for.
func (c *topics) recall(all map[string]*topic) map[string]*topic {
	var missing map[string]*topic
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range all {
		k := c.known[name]
		switch {
		case k != nil && !k.stale && now.Before(k.until):
			all[name] = k.topic
			continue
		case !validTopic(name):
			all[name] = &topic{refused: true, err: fmt.Errorf("%q can't be the name of a topic", name)}
			continue
		case k != nil && !k.stale:
			all[name] = k.topic
		}
		if missing == nil {
			missing = make(map[string]*topic)
		}
		missing[name] = nil
	}
	return missing
}

// learn asks a broker about topics, and a few times again about those that it is just creating.
func (c *topics) learn(ctx context.Context, missing map[string]*topic) {
	names := make([]string, 0, len(missing))
	for name := range missing {
		names = append(names, name)
	}
	for try := 0; ; try++ {
		var again []string
		for some := range slices.Chunk(names, perRequest) {
			found, err := c.describe(ctx, some)
			for _, name := range some {
				t, cause := found[name], err
				switch {
				case t != nil:
					cause = t.err
				case cause == nil:
					cause = errors.New("the broker does not describe them")
				}
				if cause != nil {
					blocked := t != nil && (cause == kerr.UnknownTopicOrPartition || cause == kerr.TopicAuthorizationFailed)
					t = c.fallback(name, &topic{err: fmt.Errorf("partitions of %s: %w", name, cause), blocked: blocked})
				}
				missing[name] = t
				if cause == kerr.LeaderNotAvailable || cause == kerr.UnknownTopicOrPartition {
					again = append(again, name)
				}
			}
		}
		if names = again; len(names) == 0 || try == 3 {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// fallback returns the topic called name if it can't be described: the known one if it is only old, or else unknown.
func (c *topics) fallback(name string, unknown *topic) *topic {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.known[name]; k != nil && !k.stale {
		return k.topic
	}
	return unknown
}

// describe asks a broker about topics and stores its answer.
func (c *topics) describe(ctx context.Context, names []string) (map[string]*topic, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = true
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, t)
	}
	response, from, err := ask[*kmsg.MetadataResponse](ctx, c.client, request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return c.noteAll(names, response), nil
}

// noteAll stores what a broker says about topics; the result holds nil for a topic that it does not mention.
func (c *topics) noteAll(names []string, response *kmsg.MetadataResponse) map[string]*topic {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range response.Brokers {
		c.brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	found := make(map[string]*topic, len(names))
	for _, name := range names {
		found[name] = nil
	}
	for i := range response.Topics {
		t := &response.Topics[i]
		if t.Topic == nil {
			continue
		}
		if _, asked := found[*t.Topic]; asked {
			found[*t.Topic] = c.note(*t.Topic, t)
		}
	}
	return found
}

// note stores a broker's description of a topic. Batches in flight hold the partitions as they were; new partitions are added
// to these. There are fewer if the topic was deleted and created again.
func (c *topics) note(name string, t *kmsg.MetadataResponseTopic) *topic {
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return &topic{err: err}
	}
	k := c.known[name]
	if k == nil {
		k = &knowledge{topic: &topic{}}
	}
	count, old := len(t.Partitions), k.topic.partitions
	if count == 0 {
		return &topic{err: kerr.LeaderNotAvailable}
	}
	for _, p := range t.Partitions {
		if p.Partition < 0 || int(p.Partition) >= count {
			return &topic{err: fmt.Errorf("the broker describes %d, and one with the number %d", count, p.Partition)}
		}
	}
	if count != len(old) {
		partitions := slices.Clone(old[:min(count, len(old))])
		for id := len(partitions); id < count; id++ {
			partitions = append(partitions, c.partition(name, int32(id)))
		}
		k.topic = &topic{partitions: partitions}
	}
	for _, p := range t.Partitions {
		k.topic.partitions[p.Partition].leader.Store(p.Leader)
	}
	k.until, k.stale = time.Now().Add(maxAge), false
	c.known[name] = k
	return k.topic
}

func (c *topics) partition(name string, id int32) *partition {
	p := &partition{topic: name, id: id, order: c.order, turn: make(chan struct{}, 1), producer: none}
	p.leader.Store(-1)
	p.turn <- struct{}{}
	c.order++
	return p
}

// expire makes find ask for the topic before it is written to again.
func (c *topics) expire(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.known[name]; k != nil {
		k.stale = true
	}
}

// address returns the broker's address, for errors.
func (c *topics) address(broker int32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.brokers[broker]; a != "" {
		return a
	}
	return "broker " + strconv.Itoa(int(broker))
}

// ask sends a request that any broker answers, and returns the broker that answered or was the last to fail.
func ask[R kmsg.Response](ctx context.Context, client *kgo.Client, request kmsg.Request) (response R, from string, err error) {
	shard := client.RequestSharded(ctx, request)[0]
	from = "kafka"
	if shard.Meta.Host != "" {
		from = net.JoinHostPort(shard.Meta.Host, strconv.Itoa(int(shard.Meta.Port)))
	}
	if shard.Err != nil {
		return response, from, shard.Err
	}
	response, ok := shard.Resp.(R)
	if !ok {
		return response, from, fmt.Errorf("an answer of another kind, %T", shard.Resp)
	}
	return response, from, nil
}

// maxTopic bounds the name of a topic, in bytes.
const maxTopic = 249

// validTopic reports whether name is allowed by Kafka's rule.
func validTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxTopic {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
