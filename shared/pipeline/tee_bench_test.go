// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// fork is two outputs of one shard and one stream each, turned by hand.
type fork struct {
	shards  [2]*shard
	batches [2]*inflightBatch
	streams [2]*tape
	outs    [2]*encodingOutput
}

func newFork(t testing.TB, way int, rules string) *fork {
	w, f := ways[way], &fork{outs: [2]*encodingOutput{{}, {}}}
	store, err := checkpoint.Open(filepath.Join(t.TempDir(), "checkpoints.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	cfg := Config{BatchBytes: 4 << 20, BatchRecords: 1 << 16, BatchLinger: 200 * time.Millisecond, DeadLetterBytes: 1}
	p := New(cfg, map[string]Sink{"0": {Output: f.outs[0], Workers: 1}, "1": {Output: f.outs[1], Workers: 1}}, store, slog.New(slog.DiscardHandler))
	for i, name := range []string{"0", "1"} {
		stream := &tape{data: lines(w.line), key: "s"}
		if w.frames {
			stream.data = frames(w.line)
		}
		src := record.NewSource("s", "d", "stdout", "t", []record.Tag{{Key: "app", Value: "shop"}}, nil)
		_, err := p.Attach(Route{Stream: stream, Source: src, Output: name, Rules: rules, Open: func() (cut.Cutter, *format.Chain, error) {
			chain, err := format.New(w.decl, src, format.Options{Log: slog.New(slog.DiscardHandler)})
			if w.frames {
				return cut.NewFrames(src, stream, 1<<20, int64(time.Second)), chain, err
			}
			return cut.NewLines(src, 1<<20), chain, err
		}})
		require.NoError(t, err)
		f.streams[i], f.shards[i] = stream, p.sinks[name].shards[0]
		f.batches[i] = <-f.shards[i].idle
	}
	return f
}

// turn carries a batch to both outputs: by way of the first shard if apart is false, else each reads for itself.
func (f *fork) turn(t testing.TB, apart bool) {
	for i, s := range f.shards {
		b := f.batches[i]
		f.streams[i].end += 16 << 20
		if i > 0 && !apart {
			if !s.accept(b, time.Now()) {
				t.Fatal("nothing was offered, or not taken")
			}
			continue
		}
		for !b.full {
			if got, _ := s.round(b); got == 0 {
				t.Fatal("nothing came")
			}
		}
		s.offer(b)
	}
	for i, s := range f.shards {
		if err := s.send(t.Context(), f.batches[i]); err != nil {
			t.Fatal(err)
		}
		s.settle(f.batches[i], time.Now())
		f.batches[i].reset()
	}
	if len(f.batches[0].offers) > 0 {
		f.shards[0].settleOffers(t.Context(), f.batches[0])
	}
}

// What is read for two outputs costs no allocation a record either, and each has memory of its own at the end.
func TestASharedRecordCostsNoAllocation(t *testing.T) {
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			f := newFork(t, i, "the same")
			for range 4 {
				f.turn(t, false)
			}
			before := f.outs[1].records
			const runs = 5
			allocs := testing.AllocsPerRun(runs, func() { f.turn(t, false) })
			records := (f.outs[1].records - before) / (runs + 1)
			require.Equal(t, f.outs[0].records, f.outs[1].records)
			require.Greater(t, records, 5000)
			require.LessOrEqual(t, allocs, 30.0, "for a batch of %d records", records)
			require.NotSame(t, f.batches[0].batch, f.batches[1].batch)
		})
	}
}

// BenchmarkTwoOutputs is BenchmarkWay with two outputs, which encode and send nothing: one reads for both, or each by itself.
func BenchmarkTwoOutputs(b *testing.B) {
	for i, w := range ways {
		for name, rules := range map[string]string{"shared": "the same", "apart": ""} {
			b.Run(strings.ReplaceAll(w.name, " ", "-")+"/"+name, func(b *testing.B) {
				f := newFork(b, i, rules)
				f.turn(b, rules == "")
				f.outs[0].records = 0
				b.ResetTimer()
				for b.Loop() {
					f.turn(b, rules == "")
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(f.outs[0].records), "ns/record")
			})
		}
	}
}
