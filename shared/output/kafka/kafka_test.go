package kafka

import (
	"fmt"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

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
	t := &topic{}
	for id := range partitions {
		t.partitions = append(t.partitions, &partition{topic: "web", id: int32(id), order: id, producer: none, turn: make(chan struct{}, 1)})
	}
	return t
}

func fill(o *Output, b *record.Batch, partitions int) *workspace {
	w := newWorkspace()
	o.fill(w, b, 0, map[string]*topic{"web": topicOf(partitions)}, newVerdict())
	return w
}

func TestOneStreamGoesToOnePartitionInOrder(t *testing.T) {
	o := open(t)
	w := fill(o, sample.Batch(0, 50, sample.Source(1), sample.Source(2), sample.Source(3)), 8)
	seen := map[string]*queue{}
	for _, q := range w.queues {
		for i, r := range q.records {
			if seen[string(r.Key)] == nil {
				seen[string(r.Key)] = q
			}
			require.Same(t, seen[string(r.Key)], q)
			if i > 0 {
				require.Less(t, q.index[i-1], q.index[i])
			}
		}
	}
	require.Len(t, seen, 3)
}

func TestPartitionKeyIsATagOrAField(t *testing.T) {
	b := sample.Batch(0, 3, sample.Source(1))
	b.Records[0].Fields = []byte(`"user":"anna"`)
	b.Records[1].Fields = []byte(`"x":1,"user":17`)
	var keys []string
	for _, q := range fill(open(t, "KAFKA_PARTITION_KEY", "user"), b, 1).queues {
		for _, r := range q.records {
			keys = append(keys, string(r.Key))
		}
	}
	require.Equal(t, []string{"anna", "17", sample.Source(1).ID}, keys)
	for _, q := range fill(open(t, "KAFKA_PARTITION_KEY", "team"), b, 4).queues {
		require.Len(t, q.records, 3)
		require.Equal(t, "blue", string(q.records[0].Key))
	}
}

func TestIdentityAndOriginAreHeaders(t *testing.T) {
	b := sample.Batch(7, 8, sample.Source(1))
	r := fill(open(t), b, 1).queues[0].records[0]
	var headers []string
	for _, h := range r.Headers {
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
	w := fill(open(t), b, 1)
	q := w.queues[0]
	for q.sent < len(q.records) {
		records := q.next(5000)
		size := 0
		for _, s := range q.sizes[q.sent : q.sent+len(records)] {
			size += s
		}
		require.LessOrEqual(t, size, 5000)
		batch := w.recordBatch(records, sarama.CompressionNone)
		require.EqualValues(t, len(records)-1, batch.LastOffsetDelta)
		for i, r := range batch.Records {
			require.EqualValues(t, i, r.OffsetDelta)
			at := batch.FirstTimestamp.Add(r.TimestampDelta)
			require.Equal(t, b.Records[q.sent+i].Time/1e6, at.UnixMilli())
			require.False(t, at.After(batch.MaxTimestamp))
		}
		q.sent += len(records)
	}
	require.Len(t, q.next(1), 0)
	q.sent = 0
	require.Len(t, q.next(1), 1, "always one record, however large")
}

// The rule on which idempotence rests: the same records again under the same numbers, others never.
func TestSequencesOfWhatIsSentAgain(t *testing.T) {
	ids := &producers{current: producer{id: 10}, users: map[*partition]struct{}{}}
	records := fill(open(t), sample.Batch(0, 20, sample.Source(1)), 1).queues[0].records
	p := topicOf(1).partitions[0]

	got, err := p.settle(records[:5], records, ids)
	require.NoError(t, err)
	require.Equal(t, records[:5], got)
	require.EqualValues(t, 10, p.producer.id)
	p.taken(5)
	require.EqualValues(t, 5, p.next)

	// The answer to 5…9 is lost. They come again, among more: they are sent again by themselves, under number 5.
	p.unsure(records[5:10])
	got, err = p.settle(records[5:20], records[5:20], ids)
	require.NoError(t, err)
	require.Equal(t, records[5:10], got)
	require.EqualValues(t, 5, p.next)
	p.taken(5)

	// The answer to 10…14 is lost, and only 12… comes again: under another producer id, which has to be asked for.
	p.unsure(records[10:15])
	ids.users, ids.current = map[*partition]struct{}{}, producer{id: 11}
	got, err = p.settle(records[12:20], records[12:20], ids)
	require.NoError(t, err)
	require.Equal(t, records[12:20], got)
	require.EqualValues(t, 11, p.producer.id)
	require.EqualValues(t, 0, p.next)

	p.next = 1<<31 - 3
	p.taken(5)
	require.EqualValues(t, 2, p.next, "numbers begin again after 2³¹-1")
}

func TestVerdicts(t *testing.T) {
	b := sample.Batch(0, 3, sample.Source(1))
	bad := record.NewSource("k", "d", "stdout", "no topic!", nil, nil)
	b.Records[1].Source = bad
	o, v := open(t), newVerdict()
	o.fill(newWorkspace(), b, 0, map[string]*topic{"web": topicOf(1), "no topic!": o.topic("no topic!")}, v)
	var partial *output.Partial
	require.ErrorAs(t, v.result(3), &partial)
	require.Equal(t, 1, partial.Refused[0].Index)
	require.Contains(t, partial.Refused[0].Reason, "no topic!")

	v = newVerdict()
	v.retry([]int{2, 0}, sarama.ErrNotLeaderForPartition)
	v.retry([]int{1}, sarama.ErrOutOfBrokers)
	require.ErrorIs(t, v.result(3), sarama.ErrNotLeaderForPartition, "nothing was taken")
	require.ErrorAs(t, v.result(4), &partial)
	require.Equal(t, []int{0, 1, 2}, partial.Retry)
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	o, w, topics, v := open(t), newWorkspace(), map[string]*topic{"web": topicOf(4)}, newVerdict()
	o.fill(w, b, 0, topics, v)
	require.Zero(t, testing.AllocsPerRun(20, func() { o.fill(w, b, 0, topics, v) }))
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	o, w, topics, v := open(b), newWorkspace(), map[string]*topic{"web": topicOf(8)}, newVerdict()
	b.ReportAllocs()
	for b.Loop() {
		for at := 0; at < len(batch.Records); {
			at = o.fill(w, batch, at, topics, v)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
