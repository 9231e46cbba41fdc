package kafka

import (
	"context"
	"fmt"
	"sync"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"

	"github.com/remora-logs/remora/shared/record"
)

func init() {
	// sarama measures each connection with meters and histograms that nobody here reads, and a goroutine ticks for them.
	metrics.UseNilMetrics = true
	// Bytes that are no answer of a broker's must not make us reserve the 100 MiB that sarama allows.
	sarama.MaxResponseSize = 16 << 20
}

// Output produces to Kafka.
type Output struct {
	config     Config
	sarama     *sarama.Config
	client     sarama.Client
	idempotent bool
	version    int16 // of ProduceRequest
	producers  producers

	mu     sync.Mutex
	topics map[string]*topic
	order  int // how many partitions there are
	spaces sync.Pool
}

// topic is a topic's partitions, of which there may become more while we run.
type topic struct {
	partitions []*partition
	err        error // why they are not known
	refused    bool  // it can't be a topic's name
}

func (t *topic) count() int32                  { return int32(len(t.partitions)) }
func (t *topic) partition(id int32) *partition { return t.partitions[id] }

// Open makes the output. It asks nothing of the brokers.
func Open(c Config) (*Output, error) {
	conf, err := c.sarama()
	if err != nil {
		return nil, err
	}
	client, err := sarama.NewClient(c.Brokers, conf)
	if err != nil {
		return nil, err
	}
	o := &Output{
		config: c, sarama: conf, client: client, version: produceVersion(conf.Version),
		idempotent: c.Idempotent && conf.Producer.RequiredAcks == sarama.WaitForAll,
		producers:  producers{client: client},
		topics:     make(map[string]*topic),
	}
	o.spaces.New = func() any { return newWorkspace() }
	return o, nil
}

// produceVersion is the latest version of ProduceRequest that v has and that is worth having: 8 brought errors of single
// records; from 9 on sarama would go through the records once more to count their bytes.
func produceVersion(v sarama.KafkaVersion) int16 {
	switch {
	case v.IsAtLeast(sarama.V2_4_0_0):
		return 8
	case v.IsAtLeast(sarama.V2_1_0_0):
		return 7
	case v.IsAtLeast(sarama.V2_0_0_0):
		return 6
	case v.IsAtLeast(sarama.V1_0_0_0):
		return 5
	}
	return 3
}

// Write produces b and returns when the replicas that KAFKA_REQUIRE_ACKS asks for have it. What is on its way when ctx
// ends stays so, from memory of the output's own.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	topics, err := o.resolve(ctx, b)
	if err != nil {
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

// deliver sends what w holds and gives w back.
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
	case <-done: // just in time: what was taken need not be sent again
		return nil
	default:
		return ctx.Err()
	}
}

// requestBytes is how much of a batch is turned into Kafka's records and sent at a time. sarama encodes a request into
// memory of its own, twice, so that larger ones would cost more in memory than they save in round trips.
const requestBytes = 512 << 10

// fill turns b's records from at on into Kafka's and queues them by partition, as many as go into a request. It returns
// where it ended.
func (o *Output) fill(w *workspace, b *record.Batch, at int, topics map[string]*topic, v *verdict) int {
	w.reset(b.Records[at].Time)
	var (
		last *record.Source
		rt   *route
		i    = at
	)
	for ; i < len(b.Records) && len(w.bytes) < requestBytes && len(w.records) < cap(w.records); i++ {
		r := &b.Records[i]
		if r.Source != last {
			last = r.Source
			t := topics[o.topicOf(last)]
			if rt = w.routes[last]; rt == nil || rt.topic != t {
				rt = o.route(w, last, t)
				w.routes[last] = rt
			}
		}
		switch {
		case rt.topic.refused:
			v.refuse(i, rt.topic.err)
		case rt.topic.err != nil:
			v.retry([]int{i}, rt.topic.err)
		default:
			w.add(o, rt, r, i)
		}
	}
	sortByOrder(w.queues)
	return i
}

// route is what the records of s share on their way to t.
func (o *Output) route(w *workspace, s *record.Source, t *topic) *route {
	rt := &route{topic: t}
	if t.err != nil {
		return rt
	}
	for _, tag := range s.Tags[len(s.Tags)-s.Origin:] {
		rt.headers = append(rt.headers, &sarama.RecordHeader{Key: []byte(tag.Key), Value: []byte(tag.Value)})
		rt.size += len(tag.Key) + len(tag.Value) + 4
	}
	switch key := o.config.PartitionKey; key {
	case "":
		rt.key = []byte(s.ID)
	default:
		for _, tag := range s.Tags {
			if tag.Key == key {
				rt.key = []byte(tag.Value)
			}
		}
	}
	if rt.key != nil {
		rt.partition = t.partition(w.hasher.partition(rt.key, t.count()))
	}
	return rt
}

func (o *Output) topicOf(s *record.Source) string {
	if s.Topic == "" {
		return o.config.DefaultTopic
	}
	return s.Topic
}

// resolve finds the partitions of the topics that b's records go to. It asks a broker only for topics that are new.
func (o *Output) resolve(ctx context.Context, b *record.Batch) (map[string]*topic, error) {
	names := make(map[string]*topic)
	var last *record.Source
	for i := range b.Records {
		if s := b.Records[i].Source; s != last {
			names[o.topicOf(s)], last = nil, s
		}
	}
	type answer = map[string]*topic
	answers := make(chan answer, 1)
	go func() {
		found := make(answer, len(names))
		for name := range names {
			found[name] = o.topic(name)
		}
		answers <- found
	}()
	select {
	case found := <-answers:
		return found, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// topic is the topic called name, as it stands now.
func (o *Output) topic(name string) *topic {
	if !validTopic(name) {
		return &topic{refused: true, err: fmt.Errorf("%q can't be the name of a topic", name)}
	}
	ids, err := o.client.Partitions(name)
	if err != nil {
		return &topic{err: fmt.Errorf("partitions of %s: %w", name, err)}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.topics[name]
	if known == nil {
		known = &topic{}
	}
	if len(known.partitions) < len(ids) {
		// Batches on their way hold the old list; what is in it stays, and is shared with the new one.
		grown := &topic{partitions: append([]*partition(nil), known.partitions...)}
		for id := len(known.partitions); id < len(ids); id++ {
			p := &partition{topic: name, id: int32(id), order: o.order, turn: make(chan struct{}, 1), producer: none}
			p.turn <- struct{}{}
			o.order++
			grown.partitions = append(grown.partitions, p)
		}
		known = grown
		o.topics[name] = known
	}
	return known
}

// validTopic follows Kafka's rule for names.
func validTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 249 {
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

// Close closes the connections.
func (o *Output) Close() error { return o.client.Close() }
