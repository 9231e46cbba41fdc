// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// A filter makes 64 KiB of each of thousands of empty lines, half a GiB of one read. A batch is no larger for it, each
// record arrives once and in order, and a process that dies after any batch continues with what was not sent.
func TestAFilterThatMakesMuchOfLittleFillsNoMemory(t *testing.T) {
	const lines, value = 8000, 64 << 10
	p := idlePipeline(t, Sink{Output: &encodingOutput{}, Workers: 1})
	in := &tape{data: []byte(" \n"), key: "s", end: 2 * lines}
	src := record.NewSource("s", "d", "stdout", "t", nil, nil)
	d := declare.Declaration{Filters: map[string]string{"add": "a=" + strings.Repeat("x", value)}}
	f, err := p.Attach(Route{Stream: in, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
		chain, err := format.New(d, src, format.Options{Log: slog.New(slog.DiscardHandler)})
		return cut.NewLines(src, 1<<20), chain, err
	}})
	require.NoError(t, err)
	shard := p.sinks["test"].shards[0]
	fl := <-shard.idle
	for next := int64(0); next < 2*lines; fl.acknowledge() {
		fl.reset()
		for len(fl.batch.Records) == 0 {
			shard.round(fl)
		}
		require.LessOrEqual(t, fl.batch.Size(), 8<<20)
		for _, r := range fl.batch.Records {
			require.Equal(t, next, r.Offset)
			next += 2
		}
		last := fl.ranges[len(fl.ranges)-1].to.pos
		require.Equal(t, next, last.Low)
		require.GreaterOrEqual(t, last.Done, last.Low)
		require.LessOrEqual(t, last.Done, next, "what is thrown away after a restart was sent")
	}
	require.False(t, f.ready(shard.last))
}
