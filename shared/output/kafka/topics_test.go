// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/remora-logs/remora/shared/output/internal/sample"
)

func newTopics() *topics { return &topics{known: map[string]*knowledge{}, brokers: map[int32]string{}} }

// described is a broker's description of the topic web, with the leaders of its partitions.
func described(leaders ...int32) *kmsg.MetadataResponse {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic = kmsg.StringPtr("web")
	for i, leader := range leaders {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader = int32(i), leader
		t.Partitions = append(t.Partitions, p)
	}
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = 7, "kafka-7", 9092
	return &kmsg.MetadataResponse{
		Version: newest[3], Brokers: []kmsg.MetadataResponseBroker{b}, Topics: []kmsg.MetadataResponseTopic{t},
	}
}

func TestPartitionsGrowAndMove(t *testing.T) {
	c, names := newTopics(), []string{"web"}
	small := c.noteAll(names, described(7, 8))["web"]
	require.Equal(t, "kafka-7:9092", c.address(7))
	require.Equal(t, "broker 8", c.address(8))
	require.Same(t, small, c.noteAll(names, described(8, -1))["web"], "nobody need look up the partition of a key again")
	require.EqualValues(t, 8, small.partition(0).leader.Load())
	require.EqualValues(t, -1, small.partition(1).leader.Load())

	grown := c.noteAll(names, described(7, 7, 7))["web"]
	require.NotSame(t, small, grown)
	require.EqualValues(t, 2, small.count(), "batches on their way are not disturbed")
	require.EqualValues(t, 3, grown.count())
	for i := range small.count() {
		require.Same(t, small.partition(i), grown.partition(i), "a partition's sequence continues")
	}
	require.Equal(t, 2, grown.partition(2).order)
	require.EqualValues(t, 1, c.noteAll(names, described(7))["web"].count(), "made again with fewer")
}

func TestWhatIsKnownIsNotAskedFor(t *testing.T) {
	c, all := newTopics(), map[string]*topic{"web": nil, "no topic!": nil}
	require.Contains(t, c.recall(all), "web")
	require.NotContains(t, c.recall(all), "no topic!")
	known := c.noteAll([]string{"web"}, described(7))["web"]
	require.Empty(t, c.recall(all))
	require.Same(t, known, all["web"])

	c.known["web"].until = c.known["web"].until.Add(-maxAge)
	require.Contains(t, c.recall(all), "web", "too old")
	require.Same(t, known, c.fallback("web", &topic{err: kerr.LeaderNotAvailable}), "but it does where there is nothing newer")

	c.noteAll([]string{"web"}, described(7))
	c.expire("web")
	require.Contains(t, c.recall(all), "web", "stale")
	require.ErrorIs(t, c.fallback("web", &topic{err: kerr.LeaderNotAvailable}).err, kerr.LeaderNotAvailable)
}

func TestDescriptionsThatMakeNoSense(t *testing.T) {
	for _, id := range []int32{-1, 2, 1 << 30} {
		r := described(7, 7)
		r.Topics[0].Partitions[1].Partition = id
		require.Error(t, newTopics().noteAll([]string{"web"}, r)["web"].err)
	}
	require.ErrorIs(t, newTopics().noteAll([]string{"web"}, described())["web"].err, kerr.LeaderNotAvailable)
	require.Nil(t, newTopics().noteAll([]string{"other"}, described(7))["other"])
	require.NotContains(t, newTopics().noteAll([]string{"other"}, described(7)), "web", "nobody asked")
}

// Whatever a broker answers: no panic, and each record has exactly one fate.
func FuzzAnswers(f *testing.F) {
	said := kmsg.NewPtrProduceResponse()
	for _, code := range []int16{0, 2, 3, 6, 10, 45, 87} {
		p := kmsg.NewProduceResponseTopicPartition()
		p.ErrorCode = code
		p.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 3}, {RelativeOffset: -1}, {RelativeOffset: 99}}
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.Partitions = "web", []kmsg.ProduceResponseTopicPartition{p}
		said.Version, said.Topics = newest[produceKey], []kmsg.ProduceResponseTopic{t}
		f.Add(described(7, 7).AppendTo(nil), said.AppendTo(nil), uint8(0))
	}
	o := open(f)
	b := sample.Batch(0, 10, sample.Source(1))
	f.Fuzz(func(t *testing.T, description, answer []byte, older uint8) {
		if len(description)+len(answer) > 4<<10 {
			return // what these may cost is bounded by maxAnswer
		}
		m := kmsg.MetadataResponse{Version: newest[3] - int16(older&7)}
		if m.ReadFrom(description) == nil {
			for _, found := range newTopics().noteAll([]string{"web"}, &m) {
				require.True(t, found == nil || found.err != nil || found.count() > 0)
			}
		}
		r := kmsg.ProduceResponse{Version: newest[produceKey] - int16(older>>4%6)}
		if r.ReadFrom(answer) != nil {
			return
		}
		w, v := fill(o, b, 1), newVerdict()
		q := w.queues[0]
		for range 10 { // a broker that changes its mind never
			n := q.next()
			if n == 0 || q.err != nil {
				break
			}
			if said := find(&r, q.p); said != nil {
				o.judge(chunk{q, n}, said, "kafka", v)
			} else {
				q.fail(n, kerr.UnknownServerError)
			}
		}
		if left := q.index[q.sent:]; len(left) > 0 {
			v.retry(q.err, left...)
		}
		fates := make([]int, len(b.Records))
		for _, i := range v.partial.Retry {
			fates[i]++
		}
		for _, refused := range v.partial.Refused {
			fates[refused.Index]++
		}
		for _, n := range fates {
			require.LessOrEqual(t, n, 1)
		}
	})
}
