// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

// branch is a stream as one of several outputs reads it.
type branch struct {
	stream   *memory
	out      *backend
	life     *life
	feed     *pipeline.Feed
	verdicts []string
	writes   atomic.Int64
}

// forest is world with one stream that goes to several outputs, of which each misbehaves by itself.
type forest struct {
	world
	branches []*branch
}

func (w *forest) start(cfg pipeline.Config) {
	store, err := checkpoint.Open(filepath.Join(w.dir, fmt.Sprintf("%d.db", w.lives)))
	require.NoError(w.t, err)
	sinks := map[string]pipeline.Sink{}
	for i, b := range w.branches {
		b.life = &life{backend: b.out}
		sinks[fmt.Sprint(i)] = pipeline.Sink{Output: b.life, Workers: 1 + i%2}
	}
	p := pipeline.New(cfg, sinks, store, slog.New(slog.DiscardHandler))
	for i, b := range w.branches {
		src := record.NewSource("s", "d", "stdout", "t", nil, nil)
		b.feed, err = p.Attach(pipeline.Route{Stream: b.stream, Source: src, Output: fmt.Sprint(i), Rules: "the same",
			Open: pipeline.Plain(func() cut.Cutter { return cut.NewFrames(src, b.stream, 1<<16, int64(time.Hour)) })})
		require.NoError(w.t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	w.stop = func() {
		cancel()
		<-done
		require.NoError(w.t, store.Close())
	}
}

func (w *forest) kill(cfg pipeline.Config) {
	for _, b := range w.branches {
		b.life.dead.Store(true)
	}
	synctest.Wait()
	keepStore(w.t, w.dir, w.lives)
	w.stop()
	w.lives++
	w.start(cfg)
}

// say is one verdict of a branch's output.
func (b *branch) say(_ context.Context, batch *record.Batch) error {
	verdict := b.verdicts[int(b.writes.Add(1)-1)%len(b.verdicts)]
	p := &output.Partial{Cause: errors.New("no")}
	switch verdict {
	case "fail":
		return errors.New("no")
	case "down":
		time.Sleep(3 * time.Second)
		return errors.New("no answer")
	case "lost answer":
		b.out.mu.Lock()
		for i := range batch.Records {
			b.out.take(&batch.Records[i])
		}
		b.out.mu.Unlock()
		return errors.New("connection reset")
	case "slow":
		time.Sleep(700 * time.Millisecond)
	case "slower":
		time.Sleep(40 * time.Millisecond)
	case "half":
		for i := len(batch.Records) / 2; i < len(batch.Records); i++ {
			p.Retry = append(p.Retry, i)
		}
	case "busy":
		p.After = 2 * time.Second
		for i := 0; i < len(batch.Records); i += 2 {
			p.Retry = append(p.Retry, i)
		}
	case "index a", "index b":
		for i := range batch.Records {
			if name := string(b.life.AppendDestination(nil, &batch.Records[i])); name == verdict {
				p.Blocked = append(p.Blocked, output.Blockage{Index: i, Destination: name, Reason: "403"})
			}
		}
	}
	if len(p.Retry)+len(p.Blocked) == 0 {
		return nil
	}
	return p
}

// inOrder are the verdicts after which records still come in order.
var inOrder = []string{"ok", "ok", "fail", "down", "lost answer", "slow", "slower"}

// TestModelOfSeveralOutputs is TestModel with one stream that goes to two or three outputs. What each gets is whole, and in
// order where nothing was taken out of its turn, whatever befalls the others.
func TestModelOfSeveralOutputs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, dir, f := drawPlan(rt), t.TempDir(), &failing{}
		all := append([]string{"half", "busy", "index a", "index b"}, inOrder...)
		var verdicts [][]string
		for range rapid.IntRange(2, 3).Draw(rt, "outputs") {
			from := rapid.SampledFrom([][]string{inOrder, all, {"ok", "slower"}}).Draw(rt, "kind")
			verdicts = append(verdicts, rapid.SliceOfN(rapid.SampledFrom(from), 1, 30).Draw(rt, "verdicts"))
		}
		synctest.Test(t, func(*testing.T) {
			defer func() {
				if r := recover(); r != nil && r != f {
					panic(r)
				}
			}()
			modelOfSeveral(f, dir, p, verdicts)
		})
		if f.err != "" {
			rt.Fatal(f.err)
		}
	})
}

func modelOfSeveral(t require.TestingT, dir string, p plan, verdicts [][]string) {
	cfg := config
	cfg.BatchRecords, cfg.ParkedBytes = p.BatchRecords, 1<<20
	w := &forest{world: world{t: t, dir: dir, stream: &memory{}}}
	for _, v := range verdicts {
		b := &branch{stream: &memory{key: "s"}, out: &backend{}, verdicts: v}
		b.out.say(b.say)
		w.branches = append(w.branches, b)
	}
	w.start(cfg)
	defer func() { w.stop() }()
	for _, step := range p.Steps {
		switch step.Do {
		case "kill":
			w.kill(cfg)
		case "fail", "mend":
			w.branches[len(step.Lines)%len(w.branches)].stream.fail(step.Do == "fail")
		case "sleep":
			time.Sleep(step.Sleep)
		case "write":
			before := w.stream.End()
			for _, l := range step.Lines {
				w.write(l.Std, l.Piece, l.Last)
			}
			for _, b := range w.branches {
				b.stream.write(string(w.stream.data[before:]))
			}
		}
		for _, b := range w.branches {
			s := b.feed.Status(time.Now())
			require.Equal(t, s.ReadRecords, s.SentRecords+s.QueuedRecords+s.DroppedRecords+s.RefusedRecords+s.ParkedRecords)
			require.GreaterOrEqual(t, s.QueuedRecords, int64(0))
		}
	}
	for std := range w.open {
		if w.open[std] != "" {
			w.want = append(w.want, w.open[std])
		}
	}
	for _, b := range w.branches {
		b.out.say(nil)
		b.stream.fail(false)
		b.stream.end()
	}
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	for i, b := range w.branches {
		got := b.out.got()
		first := map[string]int{}
		for at, line := range got {
			if _, known := first[line]; !known {
				first[line] = at
			}
		}
		for _, line := range w.want {
			require.Contains(t, first, line, "output %d: lost", i)
		}
		require.Len(t, first, len(w.want), "output %d: something arrived that was never written", i)
		require.Len(t, b.out.ids, len(w.want), "output %d: what came twice has the same identity", i)
		if !slices.ContainsFunc(b.verdicts, func(v string) bool { return !slices.Contains(inOrder, v) }) {
			requireInOrder(t, w.want, first, i)
		}
	}
}

// requireInOrder requires that whole lines of one standard stream came first in the order in which they were written.
func requireInOrder(t require.TestingT, want []string, first map[string]int, branch int) {
	last := map[byte]int{}
	for _, line := range want {
		std := line[3] // of stdout and stderr
		require.GreaterOrEqual(t, first[line], last[std], "output %d: %q is too early", branch, line)
		last[std] = first[line]
	}
}
