// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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
)

// indices is a backend of several indices: each stream has its own, except for lines that begin with "late", which go to
// an old one. Some of the indices are closed.
type indices struct {
	*backend
	closed map[string]bool
}

func (o *indices) AppendDestination(dst []byte, r *record.Record) []byte {
	if strings.HasPrefix(string(r.Line), "late") {
		return append(dst, "index old"...)
	}
	return append(append(dst, "index "...), r.Source.Stream...)
}

// set opens or closes an index.
func (o *indices) set(index string, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed["index "+index] = closed
}

func newIndices(t *testing.T, cfg pipeline.Config) (*bench, *indices) {
	o := &indices{backend: &backend{}, closed: map[string]bool{}}
	o.backend.before = func(_ context.Context, b *record.Batch) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		var p output.Partial
		for i := range b.Records {
			index := string(o.AppendDestination(nil, &b.Records[i]))
			if o.closed[index] {
				p.Blocked = append(p.Blocked, output.Blockage{Index: i, Destination: index, Reason: "403 index closed: " + index})
			}
		}
		if len(p.Blocked) == 0 {
			return nil
		}
		p.Cause = errors.New(p.Blocked[0].Reason)
		return &p
	}
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "checkpoints.db"), out: o.backend, output: o}
	b.start(cfg)
	return b, o
}

var blocking = pipeline.Config{BatchBytes: 1 << 20, BatchRecords: 1000, BatchLinger: 200 * time.Millisecond,
	RetryMax: 30 * time.Second, DeadLetterBytes: 1 << 20, ParkedBytes: 1 << 20}

// of returns the lines that begin with a prefix, in the order in which they were taken.
func (o *backend) of(prefix string) []string {
	return slices.DeleteFunc(o.got(), func(line string) bool { return !strings.HasPrefix(line, prefix) })
}

// counter returns a function that counts the lines that begin with a prefix. Each call looks at those that are new.
func (o *backend) counter(prefix string) func() int {
	seen, n := 0, 0
	return func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		for ; seen < len(o.lines); seen++ {
			if strings.HasPrefix(o.lines[seen], prefix) {
				n++
			}
		}
		return n
	}
}

// writes are how many records each write had.
func (o *backend) writes() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sizes)
}

func (o *backend) twice() (ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, n := range o.ids {
		if n > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

func accountsAgree(t *testing.T, c pipeline.Counts) {
	t.Helper()
	require.Equal(t, c.ReadRecords, c.SentRecords+c.QueuedRecords+c.DroppedRecords+c.RefusedRecords+c.ParkedRecords, "%+v", c)
	require.Equal(t, c.ReadBytes, c.SentBytes+c.QueuedBytes+c.DroppedBytes+c.RefusedBytes+c.ParkedBytes, "%+v", c)
	require.GreaterOrEqual(t, c.QueuedRecords, int64(0))
	require.GreaterOrEqual(t, c.QueuedBytes, int64(0))
}

// One closed index, or thirty of them, beside twenty innocent streams on the same two shards.
func TestABlockedDestinationHoldsUpItsOwnStreamAlone(t *testing.T) {
	for _, evil := range []int{1, 30} {
		t.Run(fmt.Sprint(evil), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, o := newIndices(t, blocking)
				defer b.stop()
				var bad, good []*memory
				var feeds []*pipeline.Feed
				for i := range evil {
					m := &memory{key: fmt.Sprintf("evil-%d", i)}
					o.set(m.key, true)
					f, _ := b.attach(m)
					bad, feeds = append(bad, m), append(feeds, f)
				}
				for i := range 20 {
					m := &memory{key: fmt.Sprintf("good-%d", i)}
					f, _ := b.attach(m)
					good, feeds = append(good, m), append(feeds, f)
				}
				began := time.Now()
				written, worst, arrived := 0, time.Duration(0), b.out.counter("good-")
				for time.Since(began) < 3*time.Minute {
					at := time.Now()
					for _, m := range append(slices.Clone(bad), good...) {
						m.write(fmt.Sprintf("%s line %d\n%s more\n", m.key, written, m.key))
					}
					written++
					for arrived() < 2*len(good)*written {
						time.Sleep(10 * time.Millisecond)
						require.Less(t, time.Since(at), 10*time.Second)
					}
					worst = max(worst, time.Since(at))
					time.Sleep(100 * time.Millisecond)
				}
				require.Less(t, worst, time.Second, "innocents are not held up")
				require.Empty(t, b.out.of("evil-"))
				require.Empty(t, b.out.twice())
				for _, f := range feeds {
					s := f.Status(time.Now())
					accountsAgree(t, s.Counts)
					if strings.HasPrefix(s.Stream, "good-") {
						require.Nil(t, s.Waiting)
						require.Empty(t, s.Losses.Error)
						continue
					}
					require.Equal(t, "index "+s.Stream, s.Waiting.Destination)
					require.Contains(t, s.Waiting.Reason, "403")
					require.WithinDuration(t, began, s.Waiting.Since, 2*time.Second)
					require.Zero(t, s.ParkedRecords, "the stream's newest records go there: it waits at its offset")
					require.Zero(t, s.Acked.Done)
				}
				_, sinks, _ := b.Status(time.Now())
				require.Empty(t, sinks[0].Err)

				for _, m := range bad {
					o.set(m.key, false)
				}
				time.Sleep(45 * time.Second)
				for _, m := range bad {
					want := split(string(m.data))
					require.Equal(t, want, b.out.of(m.key+" "), "in order, all of it")
				}
				require.Empty(t, b.out.twice())
				for _, f := range feeds {
					s := f.Status(time.Now())
					accountsAgree(t, s.Counts)
					require.Nil(t, s.Waiting)
					require.Zero(t, s.QueuedRecords)
					require.EqualValues(t, 2*written, s.ReadRecords)
				}
			})
		})
	}
}

// While it is blocked, a stream costs an attempt with a few records now and then.
func TestABlockedStreamIsTriedWithLittleAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		o.set("evil", true)
		m := &memory{key: "evil"}
		m.write(strings.Repeat(strings.Repeat("x", 99)+"\n", 100_000))
		f, _ := b.attach(m)
		time.Sleep(time.Minute)
		before := len(o.writes())
		time.Sleep(10 * time.Minute)
		sizes := o.writes()[before:]
		require.LessOrEqual(t, len(sizes), 25)
		for _, n := range sizes {
			require.LessOrEqual(t, n, 200)
		}
		o.set("evil", false)
		time.Sleep(40 * time.Second)
		require.Len(t, b.out.got(), 100_000)
		require.Zero(t, f.Status(time.Now()).QueuedRecords)
	})
}

// The stream continues when a late line's index is closed, and the line arrives once that is mended, though Remora was
// killed and started again meanwhile.
func TestALateLineIsParkedAndSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer func() { b.stop() }()
		o.set("old", true)
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		m.write("a\nlate 1\nb\nlate 2\nc\n")
		time.Sleep(5 * time.Second)
		m.write("d\n")
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"a", "b", "c", "d"}, b.out.got())
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 2, s.ParkedRecords)
		require.Equal(t, m.End(), s.Acked.Done)
		require.Nil(t, s.Waiting)
		require.Equal(t, "index old", s.Parking.Destination)
		require.Contains(t, s.Parking.Reason, "403")
		files, err := filepath.Glob(filepath.Join(filepath.Dir(b.path), "parked", "*"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, name := range files {
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.EqualValues(t, 0o600, info.Mode().Perm())
		}

		b.stop()
		b.start(blocking)
		f, _ = b.attach(m)
		time.Sleep(5 * time.Second)
		s = f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 2, s.ParkedRecords)
		require.EqualValues(t, 2, s.ReadRecords)
		o.set("old", false)
		time.Sleep(time.Minute)
		require.ElementsMatch(t, []string{"a", "b", "c", "d", "late 1", "late 2"}, b.out.got())
		require.Empty(t, b.out.twice())
		require.Contains(t, o.ids, string((&record.Record{Source: record.NewSource("s", "d", "s", "target", nil, nil), Offset: 2}).AppendID(nil)))
		s = f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.Zero(t, s.ParkedRecords)
		require.Nil(t, s.Parking)
		require.EqualValues(t, 2, s.SentRecords)
		_, _, total := b.Status(time.Now())
		accountsAgree(t, total)
		files, err = filepath.Glob(filepath.Join(filepath.Dir(b.path), "parked", "*"))
		require.NoError(t, err)
		require.Empty(t, files)
	})
}

func TestParkedRecordsOfAStreamThatHasEndedAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		o.set("old", true)
		m := &memory{key: "s"}
		_, done := b.attach(m)
		m.write("late 1\na\n")
		m.end()
		<-done
		_, _, total := b.Status(time.Now())
		accountsAgree(t, total)
		require.EqualValues(t, 1, total.ParkedRecords)
		o.set("old", false)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"a", "late 1"}, b.out.got())
		_, _, total = b.Status(time.Now())
		accountsAgree(t, total)
		require.Zero(t, total.ParkedRecords)
		require.EqualValues(t, 2, total.SentRecords)
	})
}

// Parked records may have to make room, or be delivered, before the range that they are of is acknowledged.
func TestARecordIsBookedAsParkedBeforeItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := blocking
		cfg.ParkedBytes = 32 << 10
		b, o := newIndices(t, cfg)
		defer b.stop()
		o.set("old", true)
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		m.write(strings.Repeat("late "+strings.Repeat("x", 1000)+"\n", 50) + "now\n")
		time.Sleep(5 * time.Second)
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.Positive(t, s.RefusedRecords)
		require.EqualValues(t, 50, s.RefusedRecords+s.ParkedRecords)
		require.Equal(t, s.RefusedRecords, s.Losses.RefusedRecords)
		o.set("old", false)
		time.Sleep(time.Minute)
		s = f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.Zero(t, s.ParkedRecords)
		require.EqualValues(t, len(b.out.got()), s.SentRecords)
	})
}

// A record that was given up stays refused when another of its range can't be parked.
func TestWhatIsGivenUpDoesNotCountAsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := blocking
		cfg.ParkedBytes, cfg.RetryGiveUp = 10, 10*time.Minute
		cfg.DeadLetter = filepath.Join(t.TempDir(), "dead.jsonl")
		b, o := newIndices(t, cfg)
		defer b.stop()
		o.set("old", true)
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		dead := func() int {
			text, err := os.ReadFile(cfg.DeadLetter)
			require.NoError(t, err)
			return strings.Count(string(text), "\n")
		}
		for range 25 * 60 / 5 {
			m.write("late\nnow\n") // some are old enough, others are not
			time.Sleep(5 * time.Second)
			s := f.Status(time.Now())
			accountsAgree(t, s.Counts)
			require.Zero(t, s.ParkedRecords)
		}
		s := f.Status(time.Now())
		require.Positive(t, s.RefusedRecords)
		require.EqualValues(t, dead(), s.RefusedRecords)
		o.set("old", false)
		time.Sleep(time.Minute)
		s = f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.Zero(t, s.QueuedRecords)
		require.EqualValues(t, dead(), s.RefusedRecords)
		require.EqualValues(t, len(b.out.got()), s.SentRecords)
		require.Empty(t, b.out.twice())
	})
}

// Where parked records can't be synced, only the checkpoints of the streams that parked them stay.
func TestParkedRecordsThatCanNotBeSyncedHoldUpTheirStreamsCheckpointAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		o.set("old", true)
		m, innocent := &memory{key: "s"}, &memory{key: "innocent"}
		b.attach(m)
		b.attach(innocent)
		m.write("late 1\na\n")
		time.Sleep(5 * time.Second)
		done := func(m *memory) int64 {
			e, _, err := b.store.Load(checkpoint.Key{Stream: m.key, Declaration: "d", Output: "test"})
			require.NoError(t, err)
			return e.Done
		}
		before := done(m)
		require.Equal(t, m.End(), before)
		parked := filepath.Join(filepath.Dir(b.path), "parked")
		require.NoError(t, os.Rename(parked, parked+".away"))
		require.NoError(t, os.Symlink("nowhere", parked))
		for range 5 {
			m.write("late 2\nb\n")
			innocent.write("c\n")
			time.Sleep(2 * time.Second)
		}
		require.Equal(t, before, done(m))
		require.Equal(t, innocent.End(), done(innocent))
		_, err := b.StoreError()
		require.ErrorContains(t, err, "parked records")
		require.NoError(t, os.Remove(parked))
		require.NoError(t, os.Rename(parked+".away", parked))
		time.Sleep(5 * time.Second)
		require.Equal(t, m.End(), done(m))
	})
}

// A late line a second, for an index that is closed, costs a few requests a minute and no more files than one.
func TestLateLinesNowAndThenCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		o.set("old", true)
		var streams []*memory
		for i := range 20 { // of containers of several groups
			m := &memory{key: fmt.Sprintf("s%d", i)}
			src := record.NewSource(m.key, "d", m.key, "target", nil, []record.Tag{{Key: "docker_container", Value: m.key}})
			_, err := b.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
				return cut.NewLines(src, 1<<16), nil, nil
			}})
			require.NoError(t, err)
			streams = append(streams, m)
		}
		probes := func() (n int) {
			for _, size := range o.writes() {
				if size == 1 {
					n++
				}
			}
			return n
		}
		for range 100 {
			for _, m := range streams {
				m.write("late line\nline\n")
			}
			time.Sleep(1100 * time.Millisecond)
		}
		require.LessOrEqual(t, probes(), 80)
		files, err := filepath.Glob(filepath.Join(filepath.Dir(b.path), "parked", "*"))
		require.NoError(t, err)
		require.LessOrEqual(t, len(files), 60)
		o.set("old", false)
		time.Sleep(time.Minute)
		require.Len(t, b.out.of("late"), 20*100)
		require.Empty(t, b.out.twice())
	})
}

// Over the limit the oldest parked records go to the dead letters; the stream does not stop.
func TestAFullParkGivesUpItsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := blocking
		cfg.DeadLetter = filepath.Join(t.TempDir(), "dead.jsonl")
		cfg.DeadLetterBytes = 64 << 20
		b, o := newIndices(t, cfg)
		defer b.stop()
		o.set("old", true)
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		long := strings.Repeat("x", 2000)
		for i := range 1000 {
			m.write(fmt.Sprintf("late %d %s\nnow %d\n", i, long, i))
			if i%50 == 49 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(10 * time.Second)
		require.Len(t, b.out.of("now"), 1000)
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.Greater(t, s.ParkedRecords, int64(300))
		require.Less(t, s.ParkedRecords, int64(600))
		require.EqualValues(t, 1000, s.ParkedRecords+s.RefusedRecords)
		require.Equal(t, s.RefusedRecords, s.Losses.RefusedRecords)
		dead, err := os.ReadFile(cfg.DeadLetter)
		require.NoError(t, err)
		require.Contains(t, string(dead), `"message":"late 0 `)
		require.EqualValues(t, s.RefusedRecords, strings.Count(string(dead), "\n"))
		require.NotContains(t, string(dead), `"message":"late 999 `)
	})
}

func TestARecordIsGivenUpWhenItIsOldEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := blocking
		cfg.RetryGiveUp = 10 * time.Minute
		cfg.DeadLetter = filepath.Join(t.TempDir(), "dead.jsonl")
		b, o := newIndices(t, cfg)
		defer b.stop()
		o.set("s", true)
		o.set("old", true)
		other := &memory{key: "other"}
		of, _ := b.attach(other)
		other.write("late line\nline\n")
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		m.write("first\n")
		began := time.Now()
		time.Sleep(9 * time.Minute)
		require.Zero(t, f.Status(time.Now()).RefusedRecords)
		m.write("second\n")
		time.Sleep(2 * time.Minute)
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 1, s.RefusedRecords, "the second is not as old")
		require.WithinDuration(t, began, s.Waiting.Since, time.Second)
		s = of.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 1, s.RefusedRecords, "a parked record is given up too")
		dead, err := os.ReadFile(cfg.DeadLetter)
		require.NoError(t, err)
		require.Contains(t, string(dead), `"message":"first"`)
		require.Contains(t, string(dead), `"message":"late line"`)
		require.Contains(t, string(dead), "403 index closed")
		time.Sleep(19 * time.Minute)
		m.write("third\n")
		time.Sleep(5 * time.Minute)
		s = f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 2, s.RefusedRecords, "twice the time is enough for every record")
		o.set("s", false)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"line", "third"}, b.out.got())
	})
}

// What was taken of a turn whose stream then waits is not sent again when it is read again.
func TestWhatWasTakenBesideWhatIsBlockedIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		o.set("s", true)
		m.write("late 1\na\nlate 2\nb\n") // the stream's newest go to a closed index, the late ones do not
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"late 1", "late 2"}, b.out.got())
		require.NotNil(t, f.Status(time.Now()).Waiting)
		o.set("s", false)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"late 1", "late 2", "a", "b"}, b.out.got())
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 4, s.ReadRecords)
		require.EqualValues(t, 4, s.SentRecords)
	})
}

// Records that a backend is too busy for, while it answers for others, hold up no others for long.
func TestABusyPartOfABackendHoldsUpItsOwnStreamsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blocking)
		defer b.stop()
		var slow atomic.Bool
		slow.Store(true)
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			var p output.Partial
			for i := range batch.Records {
				if slow.Load() && batch.Records[i].Source.Stream == "evil" {
					p.Retry = append(p.Retry, i)
				}
			}
			if len(p.Retry) == 0 {
				return nil
			}
			p.Cause = errors.New("429 es_rejected_execution_exception")
			return &p
		})
		evil := &memory{key: "evil"}
		f, _ := b.attach(evil)
		var good []*memory
		for i := range 4 {
			m := &memory{key: fmt.Sprintf("good-%d", i)}
			b.attach(m)
			good = append(good, m)
		}
		began, worst := time.Now(), time.Duration(0)
		for n := 1; time.Since(began) < time.Minute; n++ {
			at := time.Now()
			evil.write("evil\n")
			for _, m := range good {
				m.write("good\n")
			}
			for len(b.out.of("good")) < n*len(good) {
				time.Sleep(10 * time.Millisecond)
			}
			worst = max(worst, time.Since(at))
			time.Sleep(200 * time.Millisecond)
		}
		require.Less(t, worst, 2500*time.Millisecond)
		require.Contains(t, f.Status(time.Now()).Waiting.Reason, "429")
		slow.Store(false)
		time.Sleep(time.Minute)
		require.Len(t, b.out.of("evil"), strings.Count(string(evil.data), "\n"))
		require.Empty(t, b.out.twice())
	})
}

// A stream that waits can be detached, and continues where it was when it is attached again.
func TestAWaitingStreamCanBeDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		o.set("s", true)
		m := &memory{key: "s"}
		m.write(numbered(0, 10))
		f, done := b.attach(m)
		time.Sleep(20 * time.Second)
		f.Detach()
		time.Sleep(5 * time.Second)
		select {
		case <-done:
		default:
			t.Fatal("not detached")
		}
		e, _, err := b.store.Load(checkpoint.Key{Stream: "s", Declaration: "d", Output: "test"})
		require.NoError(t, err)
		require.Zero(t, e.Done)
		o.set("s", false)
		b.attach(m)
		time.Sleep(5 * time.Second)
		require.Equal(t, split(numbered(0, 10)), b.out.got())
		_, _, total := b.Status(time.Now())
		accountsAgree(t, total)
	})
}

func TestAnOutputThatAcceptsNothingOfLateFails(t *testing.T) {
	for name, verdict := range map[string]error{
		"refused": &output.Refused{Cause: errors.New("mapping of everything is wrong")},
		"blocked": &output.Blocked{Destination: "index x", Cause: errors.New("403 everything is forbidden")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, blocking)
				defer b.stop()
				m := &memory{key: "s"}
				b.attach(m)
				m.write(numbered(0, 10))
				time.Sleep(3 * time.Second)
				_, sinks, _ := b.Status(time.Now())
				require.Empty(t, sinks[0].Err)
				b.out.say(func(context.Context, *record.Batch) error { return verdict })
				began := time.Now()
				for range 20 {
					m.write("x\n")
					time.Sleep(time.Second)
				}
				_, sinks, _ = b.Status(time.Now())
				require.Contains(t, sinks[0].Err, "everything is")
				require.WithinDuration(t, began, sinks[0].Since, 2*time.Second)
				b.out.say(nil)
				m.write("y\n")
				time.Sleep(40 * time.Second)
				_, sinks, _ = b.Status(time.Now())
				require.Empty(t, sinks[0].Err)
			})
		})
	}
}

// Where the disk is full nothing can be parked: then the stream waits, and nothing is lost.
func TestAStreamWaitsWhereNothingCanBeParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := blocking
		cfg.ParkedBytes = 10
		b, o := newIndices(t, cfg)
		defer b.stop()
		o.set("old", true)
		m := &memory{key: "s"}
		f, _ := b.attach(m)
		m.write("a\nlate 1\nb\n")
		time.Sleep(10 * time.Second)
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.NotNil(t, s.Waiting)
		require.Contains(t, b.log.String(), "can't be parked")
		require.ElementsMatch(t, []string{"a", "b"}, b.out.got())
		o.set("old", false)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"a", "b", "late 1"}, b.out.got())
		s = f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 3, s.SentRecords)
	})
}

// A chain holds groups of lines and counts: it begins anew with the stream, and counts nothing twice.
func TestAStreamThatIsReadAgainIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newIndices(t, blocking)
		defer b.stop()
		o.set("s", true)
		m := &memory{key: "s"}
		src := record.NewSource("s", "d", "s", "target", nil, nil)
		var opened atomic.Int64
		f, err := b.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
			opened.Add(1)
			c, err := format.New(declare.Declaration{Filters: map[string]string{"drop": "drop me"}}, src, format.Options{Log: slog.New(slog.DiscardHandler)})
			return cut.NewLines(src, 1<<16), c, err
		}})
		require.NoError(t, err)
		for i := range 100 {
			m.write(fmt.Sprintf("line %d\ndrop me %d\n", i, i))
		}
		time.Sleep(time.Minute)
		require.Greater(t, opened.Load(), int64(3))
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 100, s.ReadRecords)
		require.EqualValues(t, 100, s.QueuedRecords)
		require.EqualValues(t, 100, s.Filtered)
		o.set("s", false)
		time.Sleep(time.Minute)
		s = f.Status(time.Now())
		require.EqualValues(t, 100, s.SentRecords)
		require.EqualValues(t, 100, s.Filtered)
		require.Equal(t, split(numbered(0, 100)), b.out.got())
	})
}

// daily is a backend with an index a day.
type daily struct{ *backend }

func (o daily) AppendDestination(dst []byte, r *record.Record) []byte {
	return time.Unix(0, r.Time).UTC().AppendFormat(append(dst, "index "...), "2006.01.02")
}

// A late line that is the newest of its stream keeps the stream waiting. What follows it, for an index that is open, does
// not wait for the end of the back-off.
func TestWhatFollowsALateLineIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := daily{&backend{}}
		o.before = func(_ context.Context, b *record.Batch) error {
			p := &output.Partial{Cause: errors.New("closed")}
			for i := range b.Records {
				if name := string(o.AppendDestination(nil, &b.Records[i])); name == "index 1999.12.31" {
					p.Blocked = append(p.Blocked, output.Blockage{Index: i, Destination: name, Reason: "closed"})
				}
			}
			if len(p.Blocked) == 0 {
				return nil
			}
			return p
		}
		b := &bench{t: t, path: filepath.Join(t.TempDir(), "checkpoints.db"), out: o.backend, output: o}
		b.start(blocking)
		defer b.stop()
		m := &memory{key: "s"}
		src := record.NewSource("s", "d", "s", "target", nil, nil)
		f, err := b.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
			c, err := format.New(declare.Declaration{Format: "json", FormatOptions: map[string]string{"time_key": "time"}}, src,
				format.Options{Log: slog.New(slog.DiscardHandler)})
			return cut.NewLines(src, 1<<16), c, err
		}})
		require.NoError(t, err)
		m.write(`{"m":"a"}` + "\n" + `{"time":"1999-12-31T12:00:00Z","m":"late"}` + "\n")
		time.Sleep(5 * time.Minute)
		require.Len(t, b.out.got(), 1)
		require.NotNil(t, f.Status(time.Now()).Waiting)
		before := len(o.writes())
		time.Sleep(5 * time.Minute)
		require.LessOrEqual(t, len(o.writes())-before, 12, "nothing new came")
		m.write(`{"m":"b"}` + "\n")
		time.Sleep(5 * time.Second)
		require.Len(t, b.out.got(), 2)
		s := f.Status(time.Now())
		accountsAgree(t, s.Counts)
		require.EqualValues(t, 1, s.ParkedRecords)
		require.Nil(t, s.Waiting)
	})
}
