// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
)

// orderOutput notes from which streams batches have come.
type orderOutput struct{ streams []string }

func (o *orderOutput) Close() error { return nil }

func (o *orderOutput) Write(_ context.Context, b *record.Batch) error {
	for i := range b.Records {
		o.streams = append(o.streams, b.Records[i].Source.Stream)
	}
	return nil
}

// seriesRig is a shard whose rounds a test makes, and which sends at once.
type seriesRig struct {
	*testing.T
	out   *orderOutput
	p     *Pipeline
	shard *shard
	batch *inflightBatch
}

func newSeriesRig(t *testing.T) *seriesRig {
	r := &seriesRig{T: t, out: &orderOutput{}}
	r.p = idlePipeline(t, Sink{Output: r.out, Workers: 2})
	return r
}

// attach attaches a stream with n bytes of lines in it.
func (r *seriesRig) attach(key, series string, n int64) *tape {
	r.Helper()
	s := &tape{data: lines(plainLine), key: key, end: n}
	src := record.NewSource(key, "d", "app.log", "t", nil, nil)
	f, err := r.p.Attach(Route{Stream: s, Source: src, Output: "test", Series: series,
		Open: Plain(func() cut.Cutter { return cut.NewLines(src, 1<<20) })})
	require.NoError(r, err)
	r.shard = f.shard
	return s
}

// rounds makes rounds until nothing comes any more, and sends what there is.
func (r *seriesRig) rounds() {
	r.Helper()
	if r.batch == nil {
		r.batch = <-r.shard.idle
	}
	for {
		got, _ := r.shard.round(r.batch)
		require.NoError(r, r.shard.send(r.Context(), r.batch))
		r.batch.acknowledge()
		r.batch.reset()
		if got == 0 {
			return
		}
	}
}

// first and last are the places of a stream's first and last record.
func (r *seriesRig) first(key string) int {
	for i, s := range r.out.streams {
		if s == key {
			return i
		}
	}
	r.Fatalf("nothing of %s came", key)
	return 0
}

func (r *seriesRig) last(key string) (last int) {
	for i, s := range r.out.streams {
		if s == key {
			last = i
		}
	}
	return last
}

// What was written to a file before its rotation is sent before what was written afterwards, whatever backlog there is, and
// other files have their turn meanwhile.
func TestASeriesIsReadInOrder(t *testing.T) {
	r := newSeriesRig(t)
	const much = 4 << 20
	for i := range 3 {
		r.attach(fmt.Sprintf("app.log %d", i), "app.log", much)
	}
	r.attach("other", "other.log", much)
	for _, s := range r.p.sinks["test"].shards {
		r.shard, r.batch = s, nil
		r.rounds()
	}
	require.Less(t, r.last("app.log 0"), r.first("app.log 1"))
	require.Less(t, r.last("app.log 1"), r.first("app.log 2"))
}

func TestWhoIsNotRotatedWaitsForNoSeries(t *testing.T) {
	r := newSeriesRig(t)
	r.attach("app.log 0", "app.log", 8<<20)
	r.attach("app.log 1", "app.log", 1<<10)
	r.p.sinks["test"].shards = []*shard{r.shard} // the one that has both
	r.attach("other", "", 1<<10)
	r.rounds()
	require.Less(t, r.first("other"), r.last("app.log 0"))
}

// silent is a stream that says that there is more, and gives nothing.
type silent struct {
	tape
	err error
}

func (s *silent) ReadAt([]byte, int64) (int, error) { return 0, s.err }

// A compressed file whose end is missing, and a file system that does not answer, hold up what follows them for a moment only.
func TestASeriesDoesNotWaitForWhatDoesNotCome(t *testing.T) {
	for _, failure := range []error{nil, errors.New("input/output error")} {
		r := newSeriesRig(t)
		src := record.NewSource("old", "d", "app.log", "t", nil, nil)
		_, err := r.p.Attach(Route{Stream: &silent{tape{key: "old", end: 100}, failure}, Source: src, Output: "test", Series: "app.log",
			Open: Plain(func() cut.Cutter { return cut.NewLines(src, 1<<20) })})
		require.NoError(t, err)
		r.attach("new", "app.log", 1<<10)
		young := r.shard.series[seriesKey{"d", "app.log"}][1]
		now := time.Now()
		r.batch = <-r.shard.idle
		_, _ = r.shard.round(r.batch)
		require.Equal(t, failure == nil, young.follows(now))
		require.False(t, young.follows(now.Add(followFor+time.Second)))
	}
}

// numbered is a stream that knows its place.
type numbered struct {
	*tape
	order int64
}

func (n numbered) Order() int64 { return n.order }

// After a restart a file may be attached before the one that it succeeded.
func TestASeriesHasTheOrderOfItsStreams(t *testing.T) {
	r := newSeriesRig(t)
	for _, order := range []int64{3, 1, 4, 2} {
		key := fmt.Sprint("app.log ", order)
		src := record.NewSource(key, "d", "app.log", "t", nil, nil)
		f, err := r.p.Attach(Route{Stream: numbered{&tape{data: lines(plainLine), key: key, end: 1 << 20}, order}, Source: src, Output: "test",
			Series: "app.log", Open: Plain(func() cut.Cutter { return cut.NewLines(src, 1<<20) })})
		require.NoError(t, err)
		r.shard = f.shard
	}
	r.rounds()
	for order := 1; order < 4; order++ {
		require.Less(t, r.last(fmt.Sprint("app.log ", order)), r.first(fmt.Sprint("app.log ", order+1)))
	}
}

// The middle one of a series ends: its neighbours are in order still, and nothing is left of it.
func TestASeriesLosesOne(t *testing.T) {
	r := newSeriesRig(t)
	for i := range 3 {
		r.attach(fmt.Sprint(i), "app.log", 1<<10)
	}
	all := r.shard.series[seriesKey{"d", "app.log"}]
	oldest, middle, youngest := all[0], all[1], all[2]
	require.True(t, r.shard.remove(middle))
	require.Same(t, oldest, youngest.older.Load())
	require.Nil(t, middle.older.Load())
	require.True(t, r.shard.remove(oldest))
	require.Nil(t, youngest.older.Load())
	require.True(t, r.shard.remove(youngest))
	require.Empty(t, r.shard.series)
}

// Who waits for one that waits itself, for a backlog that takes long, waits as long as that one does.
func TestASeriesOfThreeIsInOrderHoweverLongTheFirstTakes(t *testing.T) {
	r := newSeriesRig(t)
	for i := range 3 {
		r.attach(fmt.Sprint(i), "app.log", 4<<20)
	}
	all := r.shard.series[seriesKey{"d", "app.log"}]
	begun := time.Now()
	var now time.Time
	for since := time.Duration(0); since < 4*followFor; since += followFor / 4 {
		now = begun.Add(since)
		all[0].reader.cursor += 1000
		require.True(t, all[1].follows(now))
		require.True(t, all[2].follows(now), "%v", since)
	}
	// The first does not come on: the second is read after a time, and, if that does not either, the third after another.
	var second, third time.Duration
	for begun = now; third == 0 && now.Sub(begun) < time.Minute; now = now.Add(pollInterval) {
		if !all[1].follows(now) && second == 0 {
			second = now.Sub(begun)
		}
		if !all[2].follows(now) {
			third = now.Sub(begun)
		}
	}
	require.Equal(t, followFor, second)
	require.InDelta(t, 2*followFor, third, float64(2*pollInterval))
}

// Where light containers have filled a batch, heavy ones have their turn first in the next. A series of theirs is in order too.
func TestASeriesOfAHeavyContainerIsInOrder(t *testing.T) {
	r := newSeriesRig(t)
	for i := range 2 {
		r.attach(fmt.Sprint(i), "app.log", 1<<20)
	}
	r.batch = <-r.shard.idle
	for _, f := range r.shard.feeds {
		f.share.heavy, f.share.usage, f.share.as = true, float64(time.Hour), time.Now()
	}
	r.shard.heavyFirst = true
	r.rounds()
	require.Less(t, r.last("0"), r.first("1"))
}
