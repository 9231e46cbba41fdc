// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// conveyors are shards of one pipeline with a feed each, turned by hand.
func conveyors(t testing.TB, way, n int) (p *Pipeline, all []*conveyor) {
	store, err := checkpoint.Open(filepath.Join(t.TempDir(), "checkpoints.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	cfg := Config{BatchBytes: 4 << 20, BatchRecords: 1 << 16, BatchLinger: 200 * time.Millisecond, DeadLetterBytes: 1}
	shared := &encodingOutput{}
	p = New(cfg, map[string]Sink{"test": {Output: shared, Workers: n}}, store, slog.New(slog.DiscardHandler))
	w := ways[way]
	for i := range n {
		c := &conveyor{stream: &tape{data: lines(w.line), key: fmt.Sprint(i)}, out: &encodingOutput{}}
		if w.frames {
			c.stream.data = frames(w.line)
		}
		src := record.NewSource(c.stream.key, "d", "stdout", "t", []record.Tag{{Key: "app", Value: "shop"}}, nil)
		f, err := p.Attach(Route{Stream: c.stream, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
			chain, err := format.New(w.decl, src, format.Options{Log: slog.New(slog.DiscardHandler)})
			if w.frames {
				return cut.NewFrames(src, c.stream, 1<<20, int64(time.Second)), chain, err
			}
			return cut.NewLines(src, 1<<20), chain, err
		}})
		require.NoError(t, err)
		c.shard = f.shard
		c.batch = <-c.shard.idle
		all = append(all, c)
	}
	return p, all
}

// fill fills the batch and encodes it.
func (c *conveyor) fill(t testing.TB) {
	c.stream.end += 16 << 20
	for !c.batch.full {
		if got, _ := c.shard.round(c.batch); got == 0 {
			t.Error("nothing came")
			return
		}
	}
	if err := c.out.Write(t.Context(), c.batch.batch); err != nil {
		t.Error(err)
	}
}

// Batches are read, cut, parsed and encoded while somebody holds every lock that shards share: they take none of them.
func TestWhatIsDoneForARecordTakesNoSharedLock(t *testing.T) {
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			p, all := conveyors(t, i, 2)
			sink := p.sinks["test"]
			p.mu.Lock()
			sink.mu.Lock()
			sink.state.mu.Lock()
			p.dead.mu.Lock()
			p.alone.Lock()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for _, c := range all {
					c.fill(t)
				}
			}()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Error("a shard waits for a lock that is shared")
			}
			p.alone.Unlock()
			p.dead.mu.Unlock()
			sink.state.mu.Unlock()
			sink.mu.Unlock()
			p.mu.Unlock()
			<-done
			require.Greater(t, len(all[0].batch.batch.Records), 5000)
		})
	}
}

// BenchmarkShards is BenchmarkWay with a shard for each processor, side by side: what is done for a record must cost as much
// beside others as alone (-cpu 1,2).
func BenchmarkShards(b *testing.B) {
	for i, w := range ways {
		b.Run(strings.ReplaceAll(w.name, " ", "-"), func(b *testing.B) {
			_, all := conveyors(b, i, runtime.GOMAXPROCS(0))
			idle := make(chan *conveyor, len(all))
			for _, c := range all {
				idle <- c
			}
			b.RunParallel(func(pb *testing.PB) {
				c := <-idle
				for pb.Next() {
					c.fill(b)
					c.shard.settle(c.batch, time.Now())
					c.batch.reset()
				}
				idle <- c
			})
			records := 0
			for range all {
				records += (<-idle).out.records
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())*float64(len(all))/float64(records), "ns/record/processor")
		})
	}
}
