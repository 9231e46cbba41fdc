// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// attachTape attaches a container that has written a line so many times.
func attachTape(t testing.TB, p *Pipeline, container, line string, lines int, d declare.Declaration) (*Feed, *tape) {
	in := &tape{data: []byte(line + "\n"), key: container}
	in.end = int64(len(in.data) * lines)
	src := record.NewSource(container, "d", "stdout", "t", nil, []record.Tag{{Key: "docker_container", Value: container}})
	f, err := p.Attach(Route{Stream: in, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
		chain, err := format.New(d, src, format.Options{Log: slog.New(slog.DiscardHandler)})
		return cut.NewLines(src, 1<<20), chain, err
	}})
	require.NoError(t, err)
	return f, in
}

// expensive filters take milliseconds for a line of some thousand bytes.
func expensive() map[string]string {
	filters := map[string]string{}
	for i := range 20 {
		filters[fmt.Sprintf("drop.%d", i)] = "(x+x+)+y|" + strings.Repeat("(a|b|x)*", 8) + "z$"
	}
	return filters
}

// Twenty containers drop with expressions that take long for each of their lines. In the CPU time that twenty innocent
// ones would wait for them in turn, these have all of theirs, again and again; and the twenty continue.
func TestExpensiveFiltersWaitBehindOthers(t *testing.T) {
	p := idlePipeline(t, Sink{Output: &encodingOutput{}, Workers: 1})
	var evil, good []*Feed
	var tapes []*tape
	for i := range 20 {
		f, _ := attachTape(t, p, fmt.Sprintf("evil-%d", i), strings.Repeat("x", 4000), 600, declare.Declaration{Filters: expensive()})
		evil = append(evil, f)
		f, in := attachTape(t, p, fmt.Sprintf("good-%d", i), "a line", 0, declare.Declaration{Format: "json"})
		good, tapes = append(good, f), append(tapes, in)
	}
	shard := p.sinks["test"].shards[0]
	fl := <-shard.idle
	cpu := func() (all time.Duration) {
		for _, f := range evil {
			all += time.Duration(f.cpu.Load())
		}
		return all
	}
	for range len(evil) { // until it is known who is heavy
		shard.round(fl)
	}
	var worst time.Duration
	for range 50 {
		for _, in := range tapes {
			in.end += int64(len(in.data))
		}
		before, began := cpu(), fl.batch.Records
		for len(fl.batch.Records)-len(began) < len(good) {
			shard.round(fl)
		}
		worst = max(worst, cpu()-before)
		fl.reset()
	}
	require.Less(t, worst, 200*time.Millisecond, "twenty turns would take longer")
	for _, f := range evil {
		require.NotZero(t, f.cpu.Load(), "who waits is served")
		require.NotZero(t, f.Status(time.Now()).Deferred)
	}
	for _, f := range good {
		require.Zero(t, f.Status(time.Now()).Deferred)
		require.EqualValues(t, 50, f.Status(time.Now()).ReadRecords)
	}
}

// Who waits for a turn behind others remains behind them, however long that takes on a busy machine.
func TestWhoWaitsDoesNotBecomeLight(t *testing.T) {
	p := idlePipeline(t, Sink{Output: &encodingOutput{}, Workers: 1})
	var feeds []*Feed
	for i := range 20 {
		f, _ := attachTape(t, p, fmt.Sprint(i), strings.Repeat("x", 4000), 600, declare.Declaration{Filters: expensive()})
		f.share.heavy, f.share.usage, f.share.as = true, float64(heavyUsage), time.Now()
		feeds = append(feeds, f)
	}
	shard := p.sinks["test"].shards[0]
	fl := <-shard.idle
	for range 40 {
		before := make([]time.Duration, len(feeds))
		for i, f := range feeds {
			f.share.as = f.share.as.Add(-time.Second) // a second passes
			before[i] = time.Duration(f.cpu.Load())
		}
		shard.round(fl)
		var all, most time.Duration
		for i, f := range feeds {
			spent := time.Duration(f.cpu.Load()) - before[i]
			all, most = all+spent, max(most, spent)
		}
		require.Less(t, all-most, heavyTurn, "a round ends with the turn that uses up the share")
		fl.reset()
	}
	for _, f := range feeds {
		require.NotZero(t, f.cpu.Load(), "who waits is served")
	}
}

// Busy containers that are all heavy share the time, and none of it is left unused.
func TestHeavyContainersTakeTurns(t *testing.T) {
	p := idlePipeline(t, Sink{Output: &encodingOutput{}, Workers: 1})
	var feeds []*Feed
	for i := range 3 {
		f, in := attachTape(t, p, fmt.Sprint(i), nginxLine, 1_000_000, declare.Declaration{Format: "nginx"})
		in.data = lines(nginxLine)
		f.share.heavy, f.share.usage, f.share.as = true, 1e12, time.Now()
		feeds = append(feeds, f)
	}
	shard := p.sinks["test"].shards[0]
	fl := <-shard.idle
	for range 200 {
		if shard.round(fl); fl.full {
			fl.reset()
		}
	}
	least, most := feeds[0].reader.cursor, feeds[0].reader.cursor
	for _, f := range feeds {
		least, most = min(least, f.reader.cursor), max(most, f.reader.cursor)
	}
	require.NotZero(t, least)
	require.LessOrEqual(t, most, 2*least, "fair")
}

// A feed of which a record takes long moves to a shard of its own kind, when nothing of it is in flight, and continues there
// where it was.
func TestASlowFeedMovesToTheSlowShard(t *testing.T) {
	p := idlePipeline(t, Sink{Output: &encodingOutput{}, Workers: 1})
	slow, in := attachTape(t, p, "slow", "a line", 1, declare.Declaration{Format: "json"})
	other, _ := attachTape(t, p, "other", "a line", 1, declare.Declaration{Format: "json"})
	sink := p.sinks["test"]
	shard := sink.shards[0]
	fl := <-shard.idle
	shard.round(fl)
	require.Len(t, fl.batch.Records, 2)

	slow.slow, in.end = true, in.end+int64(len(in.data))
	shard.round(fl)
	require.Len(t, fl.batch.Records, 2, "not read while something is in flight")
	require.Nil(t, sink.slow)
	require.NotZero(t, slow.Status(time.Now()).Deferred)

	f := fl.ranges[0].feed
	require.Same(t, slow, f)
	fl.acknowledge()
	fl.reset()
	shard.round(fl)
	require.Empty(t, fl.batch.Records)
	require.Same(t, sink.slow, slow.shard)
	require.Same(t, shard, other.shard)

	moved := <-sink.slow.idle
	sink.slow.round(moved)
	require.Len(t, moved.batch.Records, 1)
	require.EqualValues(t, len(in.data), moved.batch.Records[0].Offset)
	require.Zero(t, slow.Status(time.Now()).Deferred)

	sink.remove(slow)
	require.Empty(t, sink.slow.feeds)
}
