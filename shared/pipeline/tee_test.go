// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// pair is a pipeline with two outputs, and streams that go to both of them.
type pair struct {
	*pipeline.Pipeline
	t    *testing.T
	cfg  pipeline.Config
	path string
	a, b *backend
	stop func()
}

func newPair(t *testing.T, cfg pipeline.Config) *pair {
	p := &pair{t: t, cfg: cfg, path: filepath.Join(t.TempDir(), "checkpoints.db"), a: &backend{}, b: &backend{}}
	p.start()
	return p
}

func (p *pair) start() {
	store, err := checkpoint.Open(p.path)
	require.NoError(p.t, err)
	p.Pipeline = pipeline.New(p.cfg, map[string]pipeline.Sink{"a": {Output: p.a, Workers: 2}, "b": {Output: p.b, Workers: 2}}, store,
		slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	p.stop = func() {
		cancel()
		<-done
		require.NoError(p.t, store.Close())
	}
}

// attach attaches views of one stream, in this order.
func (p *pair) attach(d declare.Declaration, views map[string]*memory) map[string]*pipeline.Feed {
	feeds := map[string]*pipeline.Feed{}
	for _, name := range []string{"a", "b"} {
		m := views[name]
		if m == nil {
			continue
		}
		src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
		f, err := p.Attach(pipeline.Route{Stream: m, Source: src, Output: name, Rules: "the same", Open: func() (cut.Cutter, *format.Chain, error) {
			chain, err := format.New(d, src, format.Options{Log: slog.New(slog.DiscardHandler)})
			return cut.NewLines(src, 1<<16), chain, err
		}})
		require.NoError(p.t, err)
		feeds[name] = f
	}
	return feeds
}

func both(key string) map[string]*memory {
	return map[string]*memory{"a": {key: key}, "b": {key: key}}
}

func writeBoth(views map[string]*memory, text string) {
	for _, m := range views {
		m.write(text)
	}
}

func (o *backend) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lines)
}

func (m *memory) readCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

func TestTwoOutputsReadAStreamOnce(t *testing.T) {
	for name, d := range map[string]declare.Declaration{
		"lines":     {},
		"multiline": {Multiline: map[string]string{"start": "^line [0-9]*0$"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, config)
				defer func() { p.stop() }()
				views := both("s")
				feeds := p.attach(d, views)
				for i := range 50 {
					writeBoth(views, numbered(100*i, 100*i+100))
					time.Sleep(time.Duration(i) * 37 * time.Millisecond)
				}
				time.Sleep(10 * time.Second)
				for name, b := range map[string]*backend{"a": p.a, "b": p.b} {
					require.Equal(t, split(numbered(0, 5000)), split(strings.Join(b.got(), "\n")+"\n"), name)
					s := feeds[name].Status(time.Now())
					require.Equal(t, views[name].End(), s.Acked.Done, name)
					require.Equal(t, views[name].End(), s.SentBytes, name)
					require.Zero(t, s.QueuedRecords, name)
				}
				require.Greater(t, views["a"].readCount(), 10)
				require.Less(t, views["b"].readCount(), 3, "one reads for both")
			})
		})
	}
}

// What was given up for one reader alone is a gap for that one alone.
func TestAGapIsOfOneOutputOrOfBoth(t *testing.T) {
	for _, of := range []string{"a", "b", "ab"} {
		t.Run(of, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, config)
				defer func() { p.stop() }()
				views := both("s")
				for name, m := range views {
					if strings.Contains(of, name) {
						m.gap = &stream.Gap{From: 70, To: 140, Records: 10, Bytes: 70, Reason: "spool full"}
					}
				}
				p.attach(declare.Declaration{}, views)
				writeBoth(views, strings.Repeat("a line\n", 30))
				time.Sleep(10 * time.Second)
				for name, o := range map[string]*backend{"a": p.a, "b": p.b} {
					want := slices.Repeat([]string{"a line"}, 30)
					if strings.Contains(of, name) {
						want = slices.Repeat([]string{"a line"}, 21)
						want[10] = `{"remora":"gap","records":10,"bytes":70,"from":70,"to":140,"reason":"spool full"}`
					}
					require.Equal(t, want, o.got(), name)
				}
			})
		})
	}
}

// One output is down, for a minute or for good: the other gets all as it comes, and what the first has missed it reads by
// itself. Then one reads for both again.
func TestAnOutputThatIsDownHoldsUpNoOtherOfTheStream(t *testing.T) {
	for _, ill := range []string{"a", "b"} {
		t.Run(ill, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config
				cfg.BatchRecords = 50
				p := newPair(t, cfg)
				defer func() { p.stop() }()
				views := both("s")
				p.attach(declare.Declaration{}, views)
				sick, well := p.a, p.b
				if ill == "b" {
					sick, well = p.b, p.a
				}
				n := 0
				write := func(rounds int) (slowest time.Duration) {
					for range rounds {
						begun := time.Now()
						writeBoth(views, numbered(n, n+20))
						n += 20
						for well.count() < n {
							time.Sleep(5 * time.Millisecond)
						}
						slowest = max(slowest, time.Since(begun))
						time.Sleep(50 * time.Millisecond)
					}
					return slowest
				}
				write(20)
				sick.say(func(context.Context, *record.Batch) error { return errors.New("connection refused") })
				require.LessOrEqual(t, write(20), time.Second, "when it goes down it is waited for once, and not for long")
				require.LessOrEqual(t, write(150), 300*time.Millisecond, "and then no more")
				sick.say(nil)
				require.LessOrEqual(t, write(150), 500*time.Millisecond)
				time.Sleep(5 * time.Second)
				require.Equal(t, split(numbered(0, n)), p.a.got())
				require.Equal(t, split(numbered(0, n)), p.b.got())

				before := views["b"].readCount()
				write(100)
				time.Sleep(5 * time.Second)
				require.Equal(t, split(numbered(0, n)), p.b.got())
				require.Less(t, views["b"].readCount()-before, 5, "one reads for both again")
			})
		})
	}
}

func TestAnOutputThatIsSlowerTakesItsOwnTime(t *testing.T) {
	for _, slow := range []string{"a", "b"} {
		t.Run(slow, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config
				cfg.BatchRecords = 100
				p := newPair(t, cfg)
				defer func() { p.stop() }()
				pause := map[string]time.Duration{"a": 10 * time.Millisecond, "b": 10 * time.Millisecond}
				pause[slow] = time.Second
				for name, o := range map[string]*backend{"a": p.a, "b": p.b} {
					o.say(func(context.Context, *record.Batch) error { time.Sleep(pause[name]); return nil })
				}
				views := both("s")
				line := strings.Repeat("x", 1<<10) + "\n"
				writeBoth(views, strings.Repeat(line, 20_000))
				p.attach(declare.Declaration{}, views)
				quick := map[string]*backend{"a": p.b, "b": p.a}[slow]
				begun := time.Now()
				for quick.count() < 20_000 {
					time.Sleep(10 * time.Millisecond)
				}
				// 128 lines a batch, one after the other.
				require.Less(t, time.Since(begun), 20_000/128*10*time.Millisecond*12/10+time.Second)
				time.Sleep(10 * time.Minute)
				require.Len(t, p.a.got(), 20_000)
				require.Len(t, p.b.got(), 20_000)
			})
		})
	}
}

// blockStream blocks the records of a stream.
func blockStream(b *record.Batch, key string) error {
	p := &output.Partial{Cause: errors.New("403")}
	for i := range b.Records {
		if b.Records[i].Source.Stream == key {
			p.Blocked = append(p.Blocked, output.Blockage{Index: i, Destination: "index " + key, Reason: "403"})
		}
	}
	if len(p.Blocked) == 0 {
		return nil
	}
	return p
}

// What comes of a stream is the same to both, whatever the other does: blocked, refused, detached, stopped.
func TestAFeedThatReturnsToItsCheckpointGoesItsOwnWay(t *testing.T) {
	for _, blockedOutput := range []string{"a", "b"} {
		t.Run(blockedOutput, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config
				cfg.BatchRecords = 30
				p := newPair(t, cfg)
				defer func() { p.stop() }()
				views, other := both("s"), both("other")
				feeds := p.attach(declare.Declaration{}, views)
				p.attach(declare.Declaration{}, other)
				ill := map[string]*backend{"a": p.a, "b": p.b}[blockedOutput]
				shut := true
				ill.say(func(_ context.Context, b *record.Batch) error {
					if shut {
						return blockStream(b, "s")
					}
					return nil
				})
				for i := range 40 {
					writeBoth(views, numbered(10*i, 10*i+10))
					writeBoth(other, "x\n")
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(3 * time.Second)
				ill.mu.Lock()
				shut = false
				ill.mu.Unlock()
				for i := 40; i < 80; i++ {
					writeBoth(views, numbered(10*i, 10*i+10))
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				for name, o := range map[string]*backend{"a": p.a, "b": p.b} {
					got := slices.DeleteFunc(o.got(), func(s string) bool { return s == "x" })
					require.Equal(t, split(numbered(0, 800)), got, name)
					s := feeds[name].Status(time.Now())
					require.EqualValues(t, 800, s.ReadRecords)
					require.Zero(t, s.QueuedRecords)
				}
			})
		})
	}
}
