// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	"errors"
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
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/internal/logdriver"
	"github.com/remora-logs/remora/shared/record"
)

// tape is a stream of the same bytes again and again.
type tape struct {
	data []byte
	key  string
	end  int64
}

func (s *tape) Key() string                { return s.key }
func (s *tape) End() int64                 { return s.end }
func (s *tape) Ended() bool                { return false }
func (s *tape) Mark(int64) ([]byte, error) { return nil, nil }
func (s *tape) Release(int64)              {}
func (s *tape) Follow(_, _ int64) bool     { return true }

func (s *tape) ReadAt(p []byte, off int64) (n int, err error) {
	p = p[:min(int64(len(p)), s.end-off)]
	for n < len(p) {
		n += copy(p[n:], s.data[(off+int64(n))%int64(len(s.data)):])
	}
	return n, nil
}

// encodingOutput is an output that encodes what it is given.
type encodingOutput struct {
	enc     record.Encoder
	body    []byte
	records int
}

func (o *encodingOutput) Close() error { return nil }

func (o *encodingOutput) Write(_ context.Context, b *record.Batch) error {
	o.body = o.body[:0]
	for i := range b.Records {
		o.body = o.enc.AppendRecord(o.body, &b.Records[i])
	}
	o.records += len(b.Records)
	return nil
}

func lines(line string) []byte { return []byte(strings.Repeat(line+"\n", 1000)) }

func frames(line string) []byte {
	var b bytes.Buffer
	enc := logdriver.NewLogEntryEncoder(&b)
	for range 1000 {
		if err := enc.Encode(&logdriver.LogEntry{Source: "stdout", TimeNano: 1e18, Line: []byte(line)}); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

const (
	plainLine = `GET /index.html took 12 ms, and nothing else is to be said of it; the line is about as long as most are`
	jsonLine  = `{"level":"info","time":"2026-01-02T03:04:05.678Z","msg":"request done","status":200,"path":"/a/b","ms":12.5}`
	nginxLine = `192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "GET /a/b?c=d HTTP/1.1" 200 1234 "-" "Mozilla/5.0 (X11; Linux)"`
)

// ways are the whole ways from a stream's bytes to an output that have to cost nothing a record.
var ways = []struct {
	name   string
	frames bool
	line   string
	decl   declare.Declaration
}{
	{"lines", false, plainLine, declare.Declaration{}},
	{"frames", true, plainLine, declare.Declaration{}},
	{"json lines", false, jsonLine, declare.Declaration{Format: "json"}},
	{"json frames", true, jsonLine, declare.Declaration{Format: "json"}},
	{"nginx lines", false, nginxLine, declare.Declaration{Format: "nginx"}},
	{"nginx frames", true, nginxLine, declare.Declaration{Format: "nginx"}},
}

// conveyor is one shard with one feed, turned by hand.
type conveyor struct {
	shard  *shard
	batch  *inflightBatch
	stream *tape
	out    *encodingOutput
}

func newConveyor(t testing.TB, way int) *conveyor {
	w := ways[way]
	c := &conveyor{stream: &tape{data: lines(w.line), key: "s"}, out: &encodingOutput{}}
	if w.frames {
		c.stream.data = frames(w.line)
	}
	p := idlePipeline(t, Sink{Output: c.out, Workers: 1})
	src := record.NewSource("s", "d", "stdout", "t", []record.Tag{{Key: "app", Value: "shop"}}, nil)
	chain, err := format.New(w.decl, src, format.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	r := Route{Stream: c.stream, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
		if w.frames {
			return cut.NewFrames(src, c.stream, 1<<20, int64(time.Second)), chain, nil
		}
		return cut.NewLines(src, 1<<20), chain, nil
	}}
	_, err = p.Attach(r)
	require.NoError(t, err)
	c.shard = p.sinks["test"].shards[0]
	c.batch = <-c.shard.idle
	return c
}

func idlePipeline(t testing.TB, l Sink) *Pipeline {
	store, err := checkpoint.Open(filepath.Join(t.TempDir(), "checkpoints.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	cfg := Config{BatchBytes: 4 << 20, BatchRecords: 1 << 16, BatchLinger: 200 * time.Millisecond, DeadLetterBytes: 1}
	return New(cfg, map[string]Sink{"test": l}, store, slog.New(slog.DiscardHandler))
}

// turn carries one batch from the stream to the output and back to where it began.
func (c *conveyor) turn(ctx context.Context) error {
	c.stream.end += 16 << 20
	for !c.batch.full {
		if got, _ := c.shard.round(c.batch); got == 0 {
			return errors.New("nothing came")
		}
	}
	if err := c.shard.send(ctx, c.batch); err != nil {
		return err
	}
	c.shard.settle(c.batch, time.Now())
	c.batch.reset()
	return nil
}

// A batch costs a few allocations, a record none.
func TestARecordCostsNoAllocation(t *testing.T) {
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			c := newConveyor(t, i)
			for range 3 { // until slices have their size
				require.NoError(t, c.turn(t.Context()))
			}
			before := c.out.records
			const runs = 5
			allocs := testing.AllocsPerRun(runs, func() {
				if err := c.turn(t.Context()); err != nil {
					t.Error(err)
				}
			})
			records := (c.out.records - before) / (runs + 1)
			require.Greater(t, records, 5000)
			require.LessOrEqual(t, allocs, 8.0, "for a batch of %d records", records)
		})
	}
}

func BenchmarkWay(b *testing.B) {
	for i, w := range ways {
		b.Run(strings.ReplaceAll(w.name, " ", "-"), func(b *testing.B) {
			c := newConveyor(b, i)
			require.NoError(b, c.turn(b.Context()))
			c.out.records = 0
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if err := c.turn(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(c.out.records), "ns/record")
			b.ReportMetric(float64(c.out.records)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
		})
	}
}

// attachIdle attaches n streams in which nothing happens.
func attachIdle(t testing.TB, p *Pipeline, n int) {
	for i := range n {
		key := fmt.Sprintf("%064d/1", i)
		src := record.NewSource(key, "stdout", "stdout", "docker", nil, []record.Tag{
			{Key: "docker_container", Value: key[:12]}, {Key: "image", Value: "registry.example/shop:1"}, {Key: "host", Value: "node-1"}})
		chain, err := format.New(declare.Declaration{Format: "json"}, src, format.Options{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		tape := &tape{key: key}
		_, err = p.Attach(Route{Stream: tape, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
			return cut.NewFrames(src, tape, 1<<20, int64(time.Second)), chain, nil
		}})
		require.NoError(t, err)
	}
}

const idleFeeds = 5000

func TestAnIdleFeedIsSmall(t *testing.T) {
	p := idlePipeline(t, Sink{Output: &encodingOutput{}, Workers: 2})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	attachIdle(t, p, idleFeeds)
	f := <-p.sinks["test"].shards[0].idle
	for _, s := range p.sinks["test"].shards {
		s.round(f)
	}
	each := (heap() - before) / idleFeeds
	t.Logf("%d bytes a feed", each)
	require.Less(t, each, uint64(24<<10))
	runtime.KeepAlive(p)
}

// BenchmarkIdlePoll is one look at 5000 idle streams. While nothing happens there are five a second.
func BenchmarkIdlePoll(b *testing.B) {
	p := idlePipeline(b, Sink{Output: &encodingOutput{}, Workers: 1})
	attachIdle(b, p, idleFeeds)
	s := p.sinks["test"].shards[0]
	f := <-s.idle
	b.ReportAllocs()
	for b.Loop() {
		s.round(f)
	}
	look := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(look*float64(time.Second/idlePollInterval)/1e3, "µs/s")
}

// BenchmarkGrowth is what a line costs when a backlog of a million lies in one stream, or in many: the look at all of
// them must not show.
func BenchmarkGrowth(b *testing.B) {
	const backlog = 1_000_000
	for _, streams := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			out := &encodingOutput{}
			p := idlePipeline(b, Sink{Output: out, Workers: 1})
			data := lines(plainLine)
			tapes := make([]*tape, streams)
			for i := range tapes {
				tapes[i] = &tape{data: data, key: fmt.Sprint(i)}
				src := record.NewSource(tapes[i].key, "d", "stdout", "t", []record.Tag{{Key: "app", Value: "shop"}}, nil)
				_, err := p.Attach(Route{Stream: tapes[i], Open: Plain(func() cut.Cutter { return cut.NewLines(src, 1<<20) }), Source: src, Output: "test"})
				require.NoError(b, err)
			}
			s := p.sinks["test"].shards[0]
			f := <-s.idle
			for b.Loop() {
				for _, t := range tapes {
					t.end += int64(len(data)) / 1000 * int64(backlog/streams)
				}
				for got := int64(1); got > 0; {
					got, _ = s.round(f)
					if err := s.send(b.Context(), f); err != nil {
						b.Fatal(err)
					}
					f.acknowledge()
					f.reset()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(out.records), "ns/record")
		})
	}
}
