// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// memory is a stream in memory.
type memory struct {
	key string

	mu       sync.Mutex
	data     []byte
	ended    bool
	released int64
	gap      *stream.Gap
	err      error
	flaky    bool // every third read fails
	unmarked error
	reads    int
}

func (m *memory) Key() string { return m.key }

func (m *memory) End() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.data))
}

func (m *memory) Ended() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.err != nil {
		return 0, m.err
	}
	if m.flaky && m.reads%3 == 0 {
		return 0, errors.New("interrupted")
	}
	if m.gap != nil && off >= m.gap.From && off < m.gap.To {
		return 0, m.gap
	}
	n := copy(p, m.data[off:])
	if m.gap != nil && off < m.gap.From {
		n = min(n, int(m.gap.From-off))
	}
	if m.ended && int(off)+n == len(m.data) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) Mark(off int64) ([]byte, error) { return fmt.Appendf(nil, "mark %d", off), m.unmarked }

func (m *memory) Release(off int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = off
}

// Follow is as ReadAt of what lies there.
func (m *memory) Follow(from, to int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gap == nil || to <= m.gap.From || from >= m.gap.To
}

func (m *memory) write(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = append(m.data, text...)
}

func (m *memory) fail(now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flaky = now
}

func (m *memory) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
}

// backend is an output that remembers, and misbehaves as told.
type backend struct {
	mu    sync.Mutex
	lines []string
	ids   map[string]int // identity to how often it was taken
	times []time.Time    // of writes
	sizes []int
	// before decides on each write; nil takes all.
	before func(ctx context.Context, b *record.Batch) error
}

func (o *backend) Write(ctx context.Context, b *record.Batch) error {
	o.mu.Lock()
	o.times, o.sizes = append(o.times, time.Now()), append(o.sizes, len(b.Records))
	before := o.before
	o.mu.Unlock()
	var err error
	if before != nil {
		err = before(ctx, b)
	}
	var partial *output.Partial
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range b.Records {
		if partial != nil && (contains(partial.Retry, i) || refused(partial.Refused, i) || blocked(partial.Blocked, i)) {
			continue
		}
		o.take(&b.Records[i])
	}
	return err
}

func (o *backend) take(r *record.Record) {
	text := string(r.Line)
	if r.Line == nil {
		text = "{" + string(r.Fields) + "}"
	}
	o.lines = append(o.lines, text)
	if o.ids == nil {
		o.ids = map[string]int{}
	}
	o.ids[string(r.AppendID(nil))]++
}

func (o *backend) Close() error { return nil }

func (o *backend) got() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.lines...)
}

func (o *backend) say(before func(ctx context.Context, b *record.Batch) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before = before
}

func contains(all []int, i int) bool {
	for _, n := range all {
		if n == i {
			return true
		}
	}
	return false
}

func refused(all []output.Refusal, i int) bool {
	for _, r := range all {
		if r.Index == i {
			return true
		}
	}
	return false
}

func blocked(all []output.Blockage, i int) bool {
	for _, b := range all {
		if b.Index == i {
			return true
		}
	}
	return false
}

// bench is a pipeline with one output under test.
type bench struct {
	*pipeline.Pipeline
	t   *testing.T
	out *backend
	// output, where set, is what the pipeline writes to: out with something around it.
	output output.Output
	store  *checkpoint.Store
	path   string
	log    *bytes.Buffer
	stop   func()
}

var config = pipeline.Config{BatchBytes: 1 << 20, BatchRecords: 1000, BatchLinger: 200 * time.Millisecond,
	RetryMax: 2 * time.Second, DeadLetterBytes: 1 << 20}

func newBench(t *testing.T, cfg pipeline.Config) *bench {
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "checkpoints.db"), out: &backend{}}
	b.start(cfg)
	return b
}

func (b *bench) start(cfg pipeline.Config) {
	store, err := checkpoint.Open(b.path)
	require.NoError(b.t, err)
	b.store, b.log = store, &bytes.Buffer{}
	if b.output == nil {
		b.output = b.out
	}
	b.Pipeline = pipeline.New(cfg, map[string]pipeline.Sink{"test": {Output: b.output, Workers: 2}}, store,
		slog.New(slog.NewTextHandler(&synced{w: b.log}, nil)))
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		require.NoError(b.t, store.Close())
	})
}

type synced struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (b *bench) attach(m *memory) (*pipeline.Feed, chan struct{}) {
	done := make(chan struct{})
	src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
	f, err := b.Attach(pipeline.Route{Stream: m, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) }), Source: src, Output: "test",
		Done: func() { close(done) }})
	require.NoError(b.t, err)
	return f, done
}

func numbered(from, to int) string {
	var s strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&s, "line %d\n", i)
	}
	return s.String()
}

func split(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

func TestDeliversInOrderCommitsAndReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s"}
		f, done := b.attach(m)
		m.write(numbered(0, 2500))
		time.Sleep(3 * time.Second)
		require.Equal(t, split(numbered(0, 2500)), b.out.got())
		e, ok, err := b.store.Load(checkpoint.Key{Stream: "s", Declaration: "d", Output: "test"})
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, m.End(), e.Done)
		require.Equal(t, fmt.Sprintf("mark %d", m.End()), string(e.Mark))
		require.Equal(t, m.End(), m.released)
		s := f.Status(time.Now())
		require.EqualValues(t, 2500, s.SentRecords)
		require.Equal(t, m.End(), s.SentBytes)
		require.Zero(t, s.Backlog)

		m.write("unterminated")
		time.Sleep(3 * time.Second)
		require.Len(t, b.out.got(), 2500)
		m.end()
		time.Sleep(3 * time.Second)
		require.Equal(t, "unterminated", b.out.got()[2500])
		<-done
		time.Sleep(2 * time.Second)
		_, ok, err = b.store.Load(checkpoint.Key{Stream: "s", Declaration: "d", Output: "test"})
		require.NoError(t, err)
		require.False(t, ok, "an ended stream's checkpoint is forgotten")
		require.True(t, b.Drain(t.Context()))
		_, _, total := b.Status(time.Now())
		require.EqualValues(t, 2501, total.SentRecords, "totals keep what ended feeds counted")
	})
}

func TestALineIsNotKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s"}
		b.attach(m)
		time.Sleep(time.Minute)
		for i := range 20 {
			begun := time.Now()
			m.write(numbered(i, i+1))
			for len(b.out.got()) <= i {
				time.Sleep(time.Millisecond)
			}
			require.LessOrEqual(t, time.Since(begun), 400*time.Millisecond)
			time.Sleep(time.Duration(i) * 77 * time.Millisecond)
		}
	})
}

func TestIdleStreamsAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s"}
		b.attach(m)
		m.write("a\nunterminated")
		time.Sleep(time.Second)
		synctest.Wait()
		before := m.reads
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, before, m.reads)
	})
}

func TestABackendThatIsDownGetsEverythingLaterAndIsMentionedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		b.out.say(func(context.Context, *record.Batch) error { return errors.New("connection refused") })
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		m.write(numbered(0, 5000))
		time.Sleep(10 * time.Minute)
		require.Empty(t, b.out.got())
		s := f.Status(time.Now())
		require.Equal(t, s.ReadRecords, s.QueuedRecords)
		require.LessOrEqual(t, s.ReadRecords, int64(2*config.BatchRecords)+quantumLines, "memory is bounded by two batches")
		require.Equal(t, m.End(), s.Backlog)
		require.GreaterOrEqual(t, s.Lag, 10*time.Minute)
		_, sinks, _ := b.Status(time.Now())
		require.Equal(t, "connection refused", sinks[0].Err)
		b.out.say(nil)
		time.Sleep(5 * time.Second)
		require.Equal(t, split(numbered(0, 5000)), b.out.got())
		require.Equal(t, 1, strings.Count(b.log.String(), "output failed, retrying"), b.log)
		require.Equal(t, 1, strings.Count(b.log.String(), "output recovered"), b.log)
	})
}

// quantumLines is how many of the tests' lines one turn can add to a batch that is nearly full.
const quantumLines = (128 << 10) / 7

func TestThePauseThatTheBackendAskedForIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		first := true
		b.out.say(func(context.Context, *record.Batch) error {
			if first {
				first = false
				return &output.Throttled{After: 17 * time.Second, Cause: errors.New("429")}
			}
			return nil
		})
		m := &memory{key: "s"}
		b.attach(m)
		m.write("a\n")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, b.out.times, 2)
		require.GreaterOrEqual(t, b.out.times[1].Sub(b.out.times[0]), 17*time.Second)
	})
}

func TestAPoisonRecordIsFoundRefusedAndKept(t *testing.T) {
	for name, verdict := range map[string]func(b *record.Batch, at int) error{
		"by halves": func(*record.Batch, int) error { return &output.Refused{Cause: errors.New("bad mapping")} },
		"by item": func(_ *record.Batch, at int) error {
			return &output.Partial{Refused: []output.Refusal{{Index: at, Reason: "bad mapping"}}, Cause: errors.New("x")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config
				cfg.DeadLetter = filepath.Join(t.TempDir(), "dead.jsonl")
				b := newBench(t, cfg)
				defer b.stop()
				b.out.say(func(_ context.Context, batch *record.Batch) error {
					for i, r := range batch.Records {
						if string(r.Line) == "line 333" {
							return verdict(batch, i)
						}
					}
					return nil
				})
				m := &memory{key: "s"}
				f, _ := b.attach(m)
				m.write(numbered(0, 1000))
				time.Sleep(10 * time.Second)
				want := append(split(numbered(0, 333)), split(numbered(334, 1000))...)
				require.Equal(t, want, b.out.got())
				synctest.Wait()
				require.Less(t, len(b.out.times), 25)
				s := f.Status(time.Now())
				require.EqualValues(t, 999, s.SentRecords)
				require.EqualValues(t, 1, s.RefusedRecords)
				require.Zero(t, s.QueuedRecords)
				require.Zero(t, s.QueuedBytes)
				dead, err := os.ReadFile(cfg.DeadLetter)
				require.NoError(t, err)
				require.Contains(t, string(dead), `"message":"line 333"`)
				require.Contains(t, string(dead), "bad mapping")
			})
		})
	}
}

func TestARequestThatIsTooLargeIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			if len(batch.Records) > 100 {
				return &output.TooLarge{Cause: errors.New("413")}
			}
			return nil
		})
		m := &memory{key: "s"}
		b.attach(m)
		m.write(numbered(0, 1000))
		time.Sleep(10 * time.Second)
		require.Equal(t, split(numbered(0, 1000)), b.out.got())
	})
}

func TestItemsToBeSentAgainAreSentAgainAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		attempts := 0
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			attempts++
			if attempts == 1 {
				var p output.Partial
				for i := range batch.Records {
					if i%3 == 0 {
						p.Retry = append(p.Retry, i)
					}
				}
				p.Cause = errors.New("429")
				return &p
			}
			return nil
		})
		m := &memory{key: "s"}
		b.attach(m)
		m.write(numbered(0, 100))
		time.Sleep(5 * time.Second)
		require.ElementsMatch(t, split(numbered(0, 100)), b.out.got())
		synctest.Wait()
		require.Equal(t, []int{100, 34}, b.out.sizes)
	})
}

func TestAGapIsDeliveredAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s", gap: &stream.Gap{From: 14, To: 28, Records: 2, Bytes: 14, Reason: "spool full"}}
		f, _ := b.attach(m)
		m.write(numbered(0, 6))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"line 0", "line 1",
			`{"remora":"gap","records":2,"bytes":14,"from":14,"to":28,"reason":"spool full"}`, "line 4", "line 5"}, b.out.got())
		s := f.Status(time.Now())
		require.EqualValues(t, 2, s.DroppedRecords)
		require.EqualValues(t, 14, s.DroppedBytes)
		require.Equal(t, m.End(), s.ReadBytes)
		require.Zero(t, s.QueuedRecords)
		require.Zero(t, s.Backlog)
	})
}

func TestAStreamThatCannotBeReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s", err: errors.New("input/output error")}
		b.attach(m)
		m.write("a\n")
		time.Sleep(time.Minute)
		m.mu.Lock()
		require.LessOrEqual(t, m.reads, 61)
		m.err = nil
		m.mu.Unlock()
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"a"}, b.out.got())
		require.Equal(t, 1, strings.Count(b.log.String(), "can't be read"), b.log)
	})
}

func TestABusyStreamDoesNotHoldUpAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		cfg.BatchRecords = 1 << 20
		b := newBench(t, cfg)
		defer b.stop()
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			time.Sleep(time.Duration(len(batch.Records)) * time.Microsecond) // a million lines a second
			return nil
		})
		busy := []*memory{{key: "busy 1"}, {key: "busy 2"}}
		for _, m := range busy {
			m.write(strings.Repeat(strings.Repeat("x", 99)+"\n", 300_000))
			b.attach(m)
		}
		quiet := &memory{key: "quiet"}
		b.attach(quiet)
		time.Sleep(20 * time.Millisecond)
		begun := time.Now()
		quiet.write("here I am\n")
		for !strings.Contains(strings.Join(b.out.got(), "\n"), "here") {
			time.Sleep(5 * time.Millisecond)
		}
		require.Less(t, time.Since(begun), time.Second)
		require.Less(t, len(b.out.got()), 400_000, "the busy streams were not done before")
	})
}

func TestDetachedAndAttachedAgainNothingIsReadTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s"}
		f, done := b.attach(m)
		m.write(numbered(0, 10))
		time.Sleep(50 * time.Millisecond)
		_, err := b.Attach(pipeline.Route{Stream: m, Open: none, Source: record.NewSource("s", "d", "", "", nil, nil), Output: "test"})
		require.ErrorIs(t, err, pipeline.ErrAttached)
		f.Detach()
		<-done
		m.write(numbered(10, 20))
		b.attach(m)
		time.Sleep(5 * time.Second)
		require.Equal(t, split(numbered(0, 20)), b.out.got())
	})
}

func TestAnUnknownOutputIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		_, err := b.Attach(pipeline.Route{Stream: &memory{key: "s"}, Source: record.NewSource("s", "d", "", "", nil, nil),
			Output: "nowhere"})
		require.ErrorContains(t, err, "nowhere")
	})
}

func TestWhatIsCountedForAContainerDoesNotFallWhenOneOfItsStreamsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		old, young := &memory{key: "old"}, &memory{key: "young"}
		_, done := b.attach(old)
		old.write(numbered(0, 10))
		old.end()
		f, _ := b.attach(young)
		young.write(numbered(10, 13))
		<-done
		time.Sleep(2 * time.Second)
		s := f.Status(time.Now())
		require.EqualValues(t, 3, s.SentRecords)
		require.EqualValues(t, 10, s.Prior.SentRecords)
		_, _, total := b.Status(time.Now())
		require.EqualValues(t, 13, total.SentRecords)
	})
}

func TestAnOutputThatFailsForSomeAndWorksForOthersIsMentionedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			if batch.Records[0].Source.Stream == "bad" {
				return errors.New("leader not available")
			}
			return nil
		})
		bad, good := &memory{key: "bad"}, &memory{key: "good"}
		b.attach(bad)
		b.attach(good) // on the other shard
		bad.write("x\n")
		for range 30 {
			good.write("y\n")
			time.Sleep(time.Second)
		}
		b.out.say(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(b.log.String(), "output failed, retrying"), b.log)
		require.Equal(t, 1, strings.Count(b.log.String(), "output recovered"), b.log)
	})
}

func TestARotatedFileIsReadBeforeWhatFollowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		old, young := &memory{key: "old"}, &memory{key: "young"}
		for _, m := range []*memory{old, young} {
			src := record.NewSource(m.key, "d", "/logs/access.log", "target", nil, nil)
			_, err := b.Attach(pipeline.Route{Stream: m, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) }), Source: src, Output: "test",
				Series: "/logs/access.log"})
			require.NoError(t, err)
		}
		for i := 0; i < 100; i += 10 {
			old.write(numbered(i, i+10))
			time.Sleep(7 * time.Millisecond)
		}
		young.write(numbered(100, 200))
		time.Sleep(2 * time.Second)
		require.Equal(t, split(numbered(0, 200)), b.out.got())
	})
}

// none is the Open of a route that is not read.
func none() (cut.Cutter, *format.Chain, error) { return nil, nil, nil }
