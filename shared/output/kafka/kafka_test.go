// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func open(t testing.TB, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	var c Config
	require.NoError(t, settings.Load(vars, &c))
	o, err := Open(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// topicOf makes a topic that no broker was asked about.
func topicOf(partitions int) *topic {
	c, t := newTopics(), new(topic)
	for id := range partitions {
		t.partitions = append(t.partitions, c.partition("web", int32(id)))
	}
	return t
}

func fill(o *Output, b *record.Batch, partitions int) *workspace {
	w := newWorkspace(o.config.MaxMessageBytes)
	o.fill(w, b, 0, map[string]*topic{"web": topicOf(partitions)}, newVerdict())
	return w
}

// sent is a record as a consumer sees it.
type sent struct {
	kmsg.Record
	time  int64 // milliseconds since 1970
	index int32 // in the pipeline's batch
}

// drain sends all that is queued to nobody, and returns what a consumer would have read.
func drain(t testing.TB, o *Output, w *workspace) map[*queue][]sent {
	all := map[*queue][]sent{}
	for _, q := range w.queues {
		for q.left() > 0 {
			n := q.next()
			records := o.request(w, []chunk{{q, n}}).Topics[0].Partitions[0].Records
			for i, r := range decode(t, records) {
				r.index = q.index[q.sent+i]
				all[q] = append(all[q], r)
			}
			q.sent += n
		}
	}
	return all
}

func TestOneStreamGoesToOnePartitionInOrder(t *testing.T) {
	o := open(t)
	w := fill(o, sample.Batch(0, 50, sample.Source(1), sample.Source(2), sample.Source(3)), 8)
	seen := map[string]*queue{}
	for q, records := range drain(t, o, w) {
		last := int32(-1)
		for _, r := range records {
			if seen[string(r.Key)] == nil {
				seen[string(r.Key)] = q
			}
			require.Same(t, seen[string(r.Key)], q)
			require.Less(t, last, r.index)
			last = r.index
		}
	}
	require.Len(t, seen, 3)
}

func TestPartitionKeyIsATagOrAField(t *testing.T) {
	b := sample.Batch(0, 4, sample.Source(1))
	b.Records[0].Fields = []byte(`"user":"anna"`)
	b.Records[1].Fields = []byte(`"x":1,"user":17`)
	b.Records[2].Fields = []byte(`"user":""`)
	var keys []string
	o := open(t, "KAFKA_PARTITION_KEY", "user")
	for _, records := range drain(t, o, fill(o, b, 1)) {
		for _, r := range records {
			keys = append(keys, string(r.Key))
		}
	}
	require.Equal(t, []string{"anna", "17", "", sample.Source(1).ID}, keys)
	o = open(t, "KAFKA_PARTITION_KEY", "team")
	for _, records := range drain(t, o, fill(o, b, 4)) {
		require.Len(t, records, 4)
		require.Equal(t, "blue", string(records[0].Key))
	}
}

// Filebeat's format strings choose by tags. A record that lacks one of them has the stream's key, as without the setting.
func TestPartitionKeyAsFilebeatWritesIt(t *testing.T) {
	src := record.NewSource("s", "web", "stdout", "shop", []record.Tag{{Key: "team", Value: "a"}, {Key: "pod", Value: "p-1"}}, nil)
	for text, want := range map[string]string{
		"team": "a", "%{[team]}": "a", "%{[fields][team]}": "a", "%{[fields.team]}": "a", "%{[team]:none}": "a", "%{[team]}/%{[pod]}": "a/p-1",
		"x-%{[team]}": "x-a", "%{[team]}-%{[absent]}": src.ID, "": src.ID,
	} {
		k, err := parseKey(text)
		require.NoError(t, err, text)
		key, ok := k.of(src)
		require.True(t, ok, text)
		require.Equal(t, want, string(key), text)
	}
	for _, bad := range []string{"%{team}", "%{[team]", "%{+yyyy}", "a%{"} {
		_, err := parseKey(bad)
		require.ErrorContains(t, err, "KAFKA_PARTITION_KEY", bad)
		require.ErrorContains(t, settings.Load(map[string]string{"KAFKA_BROKERS": "b:1", "KAFKA_PARTITION_KEY": bad}, new(Config)), "KAFKA_PARTITION_KEY")
	}
	k, err := parseKey("{team}") // a name, as it always was
	require.NoError(t, err)
	_, ok := k.of(src)
	require.False(t, ok)
}

// The line alone, byte for byte; what has no line is JSON.
func TestRawSendsTheLineAlone(t *testing.T) {
	o := open(t, "KAFKA_FORMAT", "raw")
	b := sample.Batch(0, 2, sample.Source(1))
	b.Records[0].Line = []byte("hello \"x\"\xff")
	b.Records[1].Line, b.Records[1].Fields = nil, []byte(`"a":1`)
	var got []string
	for _, all := range drain(t, o, fill(o, b, 1)) {
		for _, r := range all {
			got = append(got, string(r.Value))
		}
	}
	require.Len(t, got, 2)
	require.Equal(t, "hello \"x\"\xff", got[0])
	require.Contains(t, got[1], `"a":1`)
	require.ErrorContains(t, settings.Load(map[string]string{"KAFKA_BROKERS": "b:1", "KAFKA_FORMAT": "xml"}, new(Config)), "KAFKA_FORMAT")
}

func TestIdentityAndOriginAreHeaders(t *testing.T) {
	b := sample.Batch(7, 8, sample.Source(1))
	o := open(t)
	w := fill(o, b, 1)
	var headers []string
	for _, h := range drain(t, o, w)[w.queues[0]][0].Headers {
		headers = append(headers, fmt.Sprintf("%s=%s", h.Key, h.Value))
	}
	require.Equal(t, []string{
		"remora_id=" + string(b.Records[0].AppendID(nil)), "docker_container=web-1", "host=node-1",
		"container_id=0123456789ab", "image=nginx:1.27",
	}, headers)
}

func TestRecordBatchesKeepTimesAndBounds(t *testing.T) {
	b := sample.Batch(0, 100, sample.Source(1))
	b.Records[3].Time = sample.Start - 5e9 // out of order, as times parsed from lines are
	o := open(t, "KAFKA_MAX_MESSAGE_BYTES", "5000")
	w := fill(o, b, 1)
	q := w.queues[0]
	require.Greater(t, len(q.batches), 5)
	for n := q.next(); n > 0; n = q.next() {
		batch, _ := q.take(n)
		require.LessOrEqual(t, len(batch), 5000)
		require.True(t, q.left() == n || len(batch) > 4000, "no smaller than need be")
		q.sent += n
	}
	q.sent = 0
	records := drain(t, o, w)[q]
	require.Len(t, records, 100)
	for i, r := range records {
		require.Equal(t, b.Records[i].Time/1e6, r.time)
	}
	b.Records[50].Line = make([]byte, 9000)
	w = fill(o, b, 1)
	require.Len(t, drain(t, o, w)[w.queues[0]], 100, "always one record, however large")
}

// The rule on which idempotence rests: the same records again under the same numbers, others never.
func TestSequencesOfWhatIsSentAgain(t *testing.T) {
	ids := &producers{current: producer{id: 10}, users: map[*partition]struct{}{}}
	q := fill(open(t), sample.Batch(0, 20, sample.Source(1)), 1).queues[0]
	p := topicOf(1).partitions[0]

	got, err := p.settle(q, 5, ids)
	require.NoError(t, err)
	require.Equal(t, 5, got)
	require.EqualValues(t, 10, p.producer.id)
	p.taken(5)
	require.EqualValues(t, 5, p.next)

	// The answer to 5…9 is lost. They come again, among more: they are sent again by themselves, under number 5.
	q.sent = 5
	p.unsure(q, 5)
	got, err = p.settle(q, 15, ids)
	require.NoError(t, err)
	require.Equal(t, 5, got)
	require.EqualValues(t, 5, p.next)
	p.taken(5)

	// The answer to 10…14 is lost, and only 12… comes again: under another producer id, which has to be asked for.
	q.sent = 10
	p.unsure(q, 5)
	q.sent = 12
	ids.users, ids.current = map[*partition]struct{}{}, producer{id: 11}
	got, err = p.settle(q, 8, ids)
	require.NoError(t, err)
	require.Equal(t, 8, got)
	require.EqualValues(t, 11, p.producer.id)
	require.EqualValues(t, 0, p.next)

	p.next = 1<<31 - 3
	p.taken(5)
	require.EqualValues(t, 2, p.next, "numbers begin again after 2³¹-1")
}

// What is sent again is known by the records' identities, however they are spread over record batches by then.
func TestUnconfirmedBatchIsRecognised(t *testing.T) {
	b := sample.Batch(0, 50, sample.Source(1))
	p := topicOf(1).partitions[0]
	p.producer = producer{id: 1}
	q := fill(open(t), b, 1).queues[0]
	p.unsure(q, 30)

	for i := range b.Records {
		b.Records[i].Time += 1e12 // read again after a while
	}
	o := open(t, "KAFKA_MAX_MESSAGE_BYTES", "5000")
	w := fill(o, b, 1)
	q = w.queues[0]
	require.Less(t, q.next(), 30)
	n, err := p.settle(q, q.next(), nil)
	require.NoError(t, err)
	require.Equal(t, 30, n)
	q.sent = 20
	aside, last := q.take(n)
	seal(aside, stamp{count: n, base: w.base, last: w.base + last}, new(folded))
	for i, r := range decode(t, aside) {
		require.Equal(t, string(b.Records[20+i].AppendID(nil)), string(r.Headers[0].Value))
	}
}

func TestVerdicts(t *testing.T) {
	b := sample.Batch(0, 3, sample.Source(1))
	bad := record.NewSource("k", "d", "stdout", "no topic!", nil, nil)
	b.Records[1].Source = bad
	o, v := open(t), newVerdict()
	all := map[string]*topic{"no topic!": nil}
	require.NoError(t, o.topics.find(t.Context(), all))
	all["web"] = topicOf(1)
	o.fill(newWorkspace(1<<20), b, 0, all, v)
	var partial *output.Partial
	require.ErrorAs(t, v.result(3), &partial)
	require.Equal(t, 1, partial.Refused[0].Index)
	require.Contains(t, partial.Refused[0].Reason, "no topic!")

	v = newVerdict()
	v.retry(kerr.NotLeaderForPartition, 2, 0)
	v.retry(kerr.LeaderNotAvailable, 1)
	require.ErrorIs(t, v.result(3), kerr.NotLeaderForPartition, "nothing was taken")
	require.ErrorAs(t, v.result(4), &partial)
	require.Equal(t, []int{0, 1, 2}, partial.Retry)
}

// A topic that may not be written holds back its own records alone.
func TestForbiddenTopicBlocksItself(t *testing.T) {
	b := sample.Batch(0, 2, sample.Source(1))
	evil := record.NewSource("k", "d", "stdout", "evil", nil, nil)
	b.Records = append(b.Records, sample.Batch(0, 2, evil).Records...)
	o, v := open(t), newVerdict()
	forbidden := topicOf(1).partitions[0]
	forbidden.topic, forbidden.unconfirmed = "evil", &unconfirmed{}
	w := newWorkspace(1 << 20)
	o.fill(w, b, 0, map[string]*topic{"web": topicOf(1), "evil": {partitions: []*partition{forbidden}}}, v)
	for _, q := range w.queues {
		if q.p == forbidden {
			said := kmsg.NewProduceResponseTopicPartition()
			said.ErrorCode = kerr.TopicAuthorizationFailed.Code
			o.judge(chunk{q, q.next()}, &said, "broker:1", v)
			require.True(t, q.blocked)
			require.Nil(t, q.p.unconfirmed)
			v.block(q.p.topic, q.err, q.index[q.sent:]...)
		}
	}
	var partial *output.Partial
	require.ErrorAs(t, v.result(4), &partial)
	require.Empty(t, partial.Retry)
	require.Len(t, partial.Blocked, 2)
	for _, blocked := range partial.Blocked {
		require.Equal(t, string(o.AppendDestination(nil, &b.Records[blocked.Index])), blocked.Destination)
		require.Equal(t, "topic evil", blocked.Destination)
	}

	// The broker does not even describe it.
	v = newVerdict()
	o.fill(w, b, 0, map[string]*topic{"web": topicOf(1), "evil": {err: kerr.UnknownTopicOrPartition, blocked: true}}, v)
	require.ErrorAs(t, v.result(4), &partial)
	require.Len(t, partial.Blocked, 2)
}

// Each queue may once have had a whole request to itself; that must not add up.
// What a broker says of a partition holds up its records alone, also where a batch has no others; what is said of none, or by
// nobody, holds up all.
func TestAPartitionThatIsNotAvailableHoldsUpItselfAlone(t *testing.T) {
	for cause, alone := range map[error]bool{
		fmt.Errorf("b:9092: web/0: %w", kerr.NotEnoughReplicas): true, fmt.Errorf("leader of web/0: %w", kerr.LeaderNotAvailable): true,
		errors.New("connection refused"): false,
	} {
		v := newVerdict()
		v.retry(cause, 1, 0)
		var partial *output.Partial
		require.Equal(t, alone, errors.As(v.result(2), &partial), "%v", cause)
		if alone {
			require.Equal(t, []int{0, 1}, partial.Retry)
		}
	}
}

func TestMemoryOfQueuesIsBounded(t *testing.T) {
	o, v, all := open(t), newVerdict(), map[string]*topic{"web": topicOf(50)}
	w := newWorkspace(1 << 20)
	for few := range 40 { // partitions with a record, and then one with a lot of them
		b := sample.Batch(0, 2000, sample.Source(few))
		for n := range few {
			b.Records = append(sample.Batch(0, 1, sample.Source(100+n)).Records, b.Records...)
		}
		o.fill(w, b, 0, all, v)
	}
	w.reset(0)
	queues := map[*queue]bool{}
	for _, rt := range w.routes {
		queues[rt.queue] = true
	}
	for _, q := range w.spare {
		queues[q] = true
	}
	require.Greater(t, len(queues), 20)
	held := 0
	for q := range queues {
		held += cap(q.bytes)
	}
	require.LessOrEqual(t, held, maxHeld)
}

// A record costs no allocation, from the batch to the request: what a request costs is the same for any number.
func TestEncodingAllocatesNothing(t *testing.T) {
	for _, key := range []string{"", "user"} {
		perRequest := func(records int) float64 {
			b := sample.Batch(0, records, sample.Source(1), sample.Source(2))
			for i := range b.Records {
				b.Records[i].Fields = []byte(`"user":"anna"`)
			}
			o, all, v := open(t, "KAFKA_PARTITION_KEY", key), map[string]*topic{"web": topicOf(4)}, newVerdict()
			w := newWorkspace(1 << 20)
			var dst []byte
			send := func() {
				o.fill(w, b, 0, all, v)
				var chunks []chunk
				for _, q := range w.queues {
					chunks = append(chunks, chunk{q, q.next()})
				}
				r := produceRequest{o.request(w, chunks)}
				r.SetVersion(9)
				dst = r.AppendTo(dst[:0])
			}
			send()
			return testing.AllocsPerRun(20, send)
		}
		require.Equal(t, perRequest(1), perRequest(500))
	}
}

// BenchmarkEncode is the way from a batch to the bytes of requests.
func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	o, w, all, v := open(b), newWorkspace(1<<20), map[string]*topic{"web": topicOf(8)}, newVerdict()
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		for at := 0; at < len(batch.Records); {
			at = o.fill(w, batch, at, all, v)
			for _, q := range w.queues {
				for ; q.left() > 0; q.sent += q.next() {
					p := o.request(w, []chunk{{q, q.next()}})
					size += len(p.Topics[0].Partitions[0].Records)
				}
			}
		}
	}
	b.SetBytes(int64(size / b.N))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
