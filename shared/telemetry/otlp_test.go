// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/shared/pipeline"
)

// message is a protobuf message: its fields by number, each with its values.
type message map[protowire.Number][]any

// parse takes a message apart as far as its wire types tell: lengths of bytes are kept as they are.
func parse(t *testing.T, p []byte) message {
	t.Helper()
	m := message{}
	for len(p) > 0 {
		number, kind, n := protowire.ConsumeTag(p)
		require.Positive(t, n)
		p = p[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(p)
			require.Positive(t, n)
			m[number], p = append(m[number], v), p[n:]
		case protowire.Fixed64Type:
			v, n := protowire.ConsumeFixed64(p)
			require.Positive(t, n)
			m[number], p = append(m[number], v), p[n:]
		default:
			v, n := protowire.ConsumeBytes(p)
			require.Positive(t, n)
			m[number], p = append(m[number], v), p[n:]
		}
	}
	return m
}

func (m message) in(t *testing.T, number protowire.Number) message {
	t.Helper()
	require.Len(t, m[number], 1)
	return parse(t, m[number][0].([]byte))
}

func (m message) text(number protowire.Number) string {
	if len(m[number]) == 0 {
		return ""
	}
	return string(m[number][0].([]byte))
}

func TestOTLP(t *testing.T) {
	s := everything()
	s.Started, s.Now = time.Unix(100, 0), time.Unix(200, 0)
	s.Logs[0].Container, s.Logs[0].Counts = "we\xffb", pipeline.Counts{ReadRecords: 7}
	s.Outputs[0].Delays = pipeline.Delays{Buckets: [len(pipeline.DelayBounds) + 1]int64{1, 2}, Seconds: 1.5}
	request := new(Exposition).AppendOTLP([]byte{}, s, []Attribute{{"service.name", "remora"}})
	resource := parse(t, request).in(t, 1)
	pair := resource.in(t, 1).in(t, 1)
	require.Equal(t, "service.name remora", pair.text(1)+" "+pair.in(t, 2).text(1))
	scope := resource.in(t, 2)
	require.Equal(t, "remora", scope.in(t, 1).text(1))
	found := map[string]message{}
	for _, m := range scope[2] {
		metric := parse(t, m.([]byte))
		require.NotContains(t, found, metric.text(1))
		require.NotEmpty(t, metric.text(2))
		found[metric.text(1)] = metric
	}
	for _, d := range Catalogue() {
		name, unit := otelName(d)
		require.Contains(t, found, name)
		require.Equal(t, unit, found[name].text(3))
	}
	require.NotContains(t, found, "remora.node.records.read", "an old name")

	sum := found["remora.log.read.records"].in(t, 7)
	require.Equal(t, []any{uint64(2)}, sum[2], "cumulative")
	require.Equal(t, []any{uint64(1)}, sum[3], "monotonic")
	point := sum.in(t, 1)
	require.Equal(t, []any{uint64(100e9)}, point[2])
	require.Equal(t, []any{uint64(200e9)}, point[3])
	require.Equal(t, []any{math.Float64bits(7)}, point[4])
	require.Len(t, point[7], 3)
	label := parse(t, point[7][0].([]byte))
	require.Equal(t, "container we\ufffdb", label.text(1)+" "+label.in(t, 2).text(1))
	require.Contains(t, found["remora.logs"], protowire.Number(5), "a gauge")

	histogram := found["remora.delivery.delay.seconds"].in(t, 9)
	require.Equal(t, []any{uint64(2)}, histogram[2])
	point = histogram.in(t, 1)
	require.Equal(t, []any{uint64(3)}, point[4])
	require.Equal(t, []any{math.Float64bits(1.5)}, point[5])
	require.Len(t, point[6][0], 8*(len(pipeline.DelayBounds)+1))
	require.Len(t, point[7][0], 8*len(pipeline.DelayBounds))
	require.Len(t, point[9], 1)
}
