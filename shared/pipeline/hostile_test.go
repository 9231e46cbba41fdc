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
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// small is a batch that a test fills with little.
var small = pipeline.Config{BatchBytes: 64 << 10, BatchRecords: 1000, BatchLinger: 200 * time.Millisecond,
	RetryMax: 2 * time.Second, DeadLetterBytes: 1 << 20}

// What is read again between Low and Done is thrown away, and must not use up the memory of a batch that then has
// nothing to be sent.
func TestALongReplayDoesNotFillABatchWithNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir(), stream: &memory{key: "s"}, out: &backend{}}
		w.start(small)
		defer func() { w.stop() }()
		w.write(0, true, false) // the beginning of a message on stdout, whose end comes much later
		for range 3000 {        // some 170 KB
			w.write(1, false, false)
		}
		time.Sleep(3 * time.Second)
		w.kill(small)
		w.write(0, true, true)
		time.Sleep(3 * time.Second)
		require.Equal(t, len(w.want), len(w.out.got()))
		require.Equal(t, w.want[len(w.want)-1], w.out.got()[len(w.want)-1])
	})
}

// A batch that was on its way when the pipeline was stopped and is not acknowledged holds back those behind it, though
// an output that looks at no context may take them.
func TestNothingIsAcknowledgedBehindABatchThatFailedAtStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		cfg.BatchRecords = 10
		b := newBench(t, cfg)
		fails := true
		b.out.say(func(context.Context, *record.Batch) error {
			if fails {
				return errors.New("no space left on device")
			}
			return nil
		})
		m := &memory{key: "s"}
		m.write(numbered(0, 10))
		b.attach(m)
		time.Sleep(time.Second)
		m.write(numbered(10, 20))
		time.Sleep(10 * time.Second)
		b.out.say(func(ctx context.Context, batch *record.Batch) error {
			if string(batch.Records[0].Line) == "line 0" {
				return errors.New("no space left on device")
			}
			return nil
		})
		b.stop()
		store, err := checkpoint.Open(b.path)
		require.NoError(t, err)
		defer store.Close()
		e, _, err := store.Load(checkpoint.Key{Stream: "s", Declaration: "d", Output: "test"})
		require.NoError(t, err)
		require.Zero(t, e.Done, "lines 0 to 9 were not taken")
	})
}

// Bytes that can't be finished because what follows them is gone must not be waited for.
func TestAnUnfinishedRecordBeforeAGapStandsAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s", gap: &stream.Gap{From: 10, To: 28, Records: -1, Bytes: 18, Reason: "lost in a crash"}}
		f, _ := b.attach(m)
		m.write(numbered(0, 6))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"line 0", "lin",
			`{"remora":"gap","bytes":18,"from":10,"to":28,"reason":"lost in a crash"}`, "line 4", "line 5"}, b.out.got())
		s := f.Status(time.Now())
		require.Equal(t, m.End(), s.ReadBytes)
		require.Zero(t, s.Backlog)
		synctest.Wait()
		reads := m.reads
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, reads, m.reads)
	})
}

func TestATornFrameBeforeAGapIsSkippedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir(), stream: &memory{key: "s"}, out: &backend{}}
		w.start(config)
		defer func() { w.stop() }()
		w.write(0, false, false)
		from := w.stream.End() + 20
		w.write(0, false, false)
		to := w.stream.End()
		w.stream.gap = &stream.Gap{From: from, To: to, Records: -1, Bytes: to - from, Reason: "lost in a crash"}
		w.write(1, false, false)
		time.Sleep(5 * time.Second)
		got := w.out.got()
		require.Len(t, got, 3, got)
		require.Equal(t, []string{w.want[0], w.want[2]}, []string{got[0], got[2]})
		require.Contains(t, got[1], `"remora":"gap"`)
		require.EqualValues(t, 20, w.feed.Status(time.Now()).SkippedBytes)
	})
}

// REMORA_MAX_RECORD_BYTES may be larger than REMORA_BATCH_BYTES.
func TestARecordLargerThanABatchIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, small)
		defer b.stop()
		other := &memory{key: "other"}
		b.attach(other)
		m := &memory{key: "s"}
		src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
		_, err := b.Attach(pipeline.Route{Stream: m, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<20) }), Source: src, Output: "test"})
		require.NoError(t, err)
		long := strings.Repeat("x", 300<<10)
		m.write("a\n" + long + "\nb\n")
		other.write(numbered(0, 10))
		time.Sleep(5 * time.Second)
		got := b.out.got()
		require.Len(t, got, 13)
		require.Subset(t, got, append(split(numbered(0, 10)), "a", "b"))
		require.True(t, slices.Contains(got, long))
	})
}

// busy is an output that says itself how many batches it writes at once.
type busy struct {
	*backend
	now, most int
}

func (m *busy) count(by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += by
	m.most = max(m.most, m.now)
}

func (m *busy) Workers() int { return 3 }

func (m *busy) Write(ctx context.Context, b *record.Batch) error {
	m.count(1)
	defer m.count(-1)
	time.Sleep(10 * time.Millisecond)
	return m.backend.Write(ctx, b)
}

func TestAnOutputsOwnNumberOfWorkersCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &busy{backend: &backend{}}
		p, stop := run(t, config, out)
		defer stop()
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			m := &memory{key: key}
			m.write(numbered(0, 100))
			src := record.NewSource(key, "d", key, "target", nil, nil)
			_, err := p.Attach(pipeline.Route{Stream: m, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) }), Source: src, Output: "test"})
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, out.got(), 600)
		require.EqualValues(t, 3, out.most)
	})
}

// Empty lines cost a hundred times in memory, and on the wire, what they cost in the file.
func TestLinesOfNothingDoNotMakeBatchesLarger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		cfg.BatchRecords = 20_000
		b := newBench(t, cfg)
		defer b.stop()
		m := &memory{key: "s"}
		b.attach(m)
		m.write(strings.Repeat("\n", 1<<20))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1<<20, len(b.out.got()))
		for _, n := range b.out.sizes {
			require.LessOrEqual(t, n, 2*cfg.BatchRecords)
		}
	})
}

func TestARefusedRecordIsMentionedAfterAReadThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		b.out.say(func(context.Context, *record.Batch) error { return &output.Refused{Cause: errors.New("bad mapping")} })
		m := &memory{key: "s", err: errors.New("input/output error")}
		b.attach(m)
		m.write(numbered(0, 20))
		time.Sleep(3 * time.Second)
		m.mu.Lock()
		m.err = nil
		m.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(b.log.String(), "bad mapping"), b.log)
	})
}

func TestDeadLettersThatCannotBeKeptAreMentionedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		cfg.DeadLetter = t.TempDir() // a directory
		b := newBench(t, cfg)
		defer b.stop()
		b.out.say(func(context.Context, *record.Batch) error { return &output.Refused{Cause: errors.New("no")} })
		m := &memory{key: "s"}
		b.attach(m)
		m.write(numbered(0, 50))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(b.log.String(), "can't be kept"), b.log)
	})
}

// run starts a pipeline with out as its one output.
func run(t testing.TB, cfg pipeline.Config, out output.Output) (p *pipeline.Pipeline, stop func()) {
	store, err := checkpoint.Open(filepath.Join(t.TempDir(), "checkpoints.db"))
	require.NoError(t, err)
	p = pipeline.New(cfg, map[string]pipeline.Sink{"test": {Output: out, Workers: 1}}, store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	return p, func() {
		cancel()
		<-done
		require.NoError(t, store.Close())
	}
}

func TestLagIsNotHowLongAStreamWasQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		m.write("a\nunfinished")
		time.Sleep(time.Hour)
		s := f.Status(time.Now())
		require.EqualValues(t, len("unfinished"), s.Backlog)
		require.LessOrEqual(t, s.Lag, time.Second, "all that can be sent was sent")
		m.write(" no more\n")
		require.LessOrEqual(t, f.Status(time.Now()).Lag, time.Second)
		b.out.say(func(context.Context, *record.Batch) error { return errors.New("connection refused") })
		time.Sleep(time.Minute)
		s = f.Status(time.Now())
		require.InDelta(t, time.Minute.Seconds(), s.Lag.Seconds(), 2)
	})
}

// What was lost of a stream, and why, is known after a restart; the counts begin anew. A gap that was read and not yet
// acknowledged is met again, and counted once.
func TestTroubleIsKnownAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer func() { b.stop() }()
		m := &memory{key: "s", gap: &stream.Gap{From: 14, To: 28, Records: 2, Bytes: 14, Reason: "spool full"}}
		b.out.say(func(context.Context, *record.Batch) error { return errors.New("down") })
		f, _ := b.attach(m)
		m.write(numbered(0, 6))
		time.Sleep(5 * time.Second)
		require.EqualValues(t, 2, f.Status(time.Now()).DroppedRecords)
		require.Zero(t, f.Status(time.Now()).Losses, "no one was told of it yet")
		b.stop()

		b.out.say(func(_ context.Context, batch *record.Batch) error {
			if strings.HasSuffix(string(batch.Records[0].Line), "5") {
				return &output.Refused{Cause: errors.New("bad mapping")}
			}
			if len(batch.Records) > 1 {
				return &output.Refused{Cause: errors.New("one at a time")}
			}
			return nil
		})
		b.start(config)
		f, _ = b.attach(m)
		time.Sleep(5 * time.Second)
		first := f.Status(time.Now())
		b.stop()

		b.start(config)
		f, _ = b.attach(m)
		m.write("line 6\n")
		time.Sleep(5 * time.Second)
		s := f.Status(time.Now())
		require.Zero(t, s.DroppedRecords)
		require.EqualValues(t, 1, s.ReadRecords)
		want := checkpoint.Losses{Gaps: 1, DroppedRecords: 2, DroppedBytes: 14, RefusedRecords: 1, Error: "refused: bad mapping"}
		require.Equal(t, s.Losses.Since.UnixNano(), first.Losses.Since.UnixNano())
		s.Losses.Since = time.Time{}
		require.Equal(t, want, s.Losses)
	})
}

func TestAMarkThatCannotBeMadeIsMentionedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		m := &memory{key: "s", unmarked: errors.New("input/output error")}
		b.attach(m)
		for range 10 {
			m.write("a\n")
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		require.Equal(t, 1, strings.Count(b.log.String(), "failed to mark"), b.log)
	})
}

// losing is a stream that knows what is lost before its reader comes there.
type losing struct{ *memory }

func (l losing) GivenUp(off int64) (gaps, records, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gap == nil || l.gap.From < off {
		return 0, 0, 0
	}
	return 1, l.gap.Records, l.gap.Bytes
}

// While a backend is down nobody reads on to what was dropped. It is counted all the same, at once and once.
func TestWhatIsDroppedIsCountedWhileTheBackendIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := small
		cfg.BatchRecords = 10
		b := newBench(t, cfg)
		defer b.stop()
		b.out.say(func(context.Context, *record.Batch) error { return errors.New("down") })
		m := &memory{key: "s"}
		m.write(numbered(0, 100_000))
		src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
		f, err := b.Attach(pipeline.Route{Stream: losing{m}, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) }),
			Source: src, Output: "test"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		from := int64(strings.Index(string(m.data), "line 90000\n"))
		m.mu.Lock()
		m.gap = &stream.Gap{From: from, To: from + 11*5000, Records: 5000, Bytes: 11 * 5000, Reason: "spool full"}
		m.mu.Unlock()
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 5000, s.DroppedRecords)
		require.EqualValues(t, 1, s.Gaps)
		b.out.say(nil)
		for range 2000 {
			time.Sleep(100 * time.Millisecond)
			s = f.Status(time.Now())
			require.EqualValues(t, 5000, s.DroppedRecords, "it does not fall, nor rise")
		}
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 95_000, s.SentRecords-1, "and the gap's marker")
		require.EqualValues(t, 1, s.Gaps)
	})
}

// narrow is a stream of which little may be in flight.
type narrow struct{ *memory }

func (narrow) MaxInFlight() int64 { return 1000 }

func TestNoMoreThanAllowedIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		b.out.say(func(context.Context, *record.Batch) error { return errors.New("down") })
		m := &memory{key: "s"}
		long := strings.Repeat("x", 5000)
		m.write(numbered(0, 1000) + long + "\n" + numbered(1000, 1010))
		src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
		f, err := b.Attach(pipeline.Route{Stream: narrow{m}, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) }),
			Source: src, Output: "test"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.LessOrEqual(t, f.Status(time.Now()).ReadBytes, int64(1000))
		b.out.say(nil)
		time.Sleep(5 * time.Minute)
		require.Equal(t, split(string(m.data)), b.out.got())
		accountsAgree(t, f.Status(time.Now()).Counts)
	})
}
