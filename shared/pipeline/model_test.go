// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/internal/logdriver"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

// life is one run of the pipeline, which a kill ends: what its output is given afterwards no longer counts.
type life struct {
	*backend
	dead atomic.Bool
}

// AppendDestination says that lines go to two places, by their offset.
func (l *life) AppendDestination(dst []byte, r *record.Record) []byte {
	return append(dst, "index "+string(rune('a'+r.Offset/3%2))...)
}

func (l *life) Write(ctx context.Context, b *record.Batch) error {
	if l.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.backend.Write(ctx, b)
}

// world is a stream that outlives the pipelines that read it, and a backend that does too.
type world struct {
	t      require.TestingT
	dir    string
	lives  int
	stream *memory
	out    *backend
	want   []string // what must arrive
	open   [2]string

	life  *life
	feed  *pipeline.Feed
	store *checkpoint.Store
	stop  func()
}

var names = [2]string{"stdout", "stderr"}

func (w *world) start(cfg pipeline.Config) {
	path := filepath.Join(w.dir, fmt.Sprintf("%d.db", w.lives))
	store, err := checkpoint.Open(path)
	require.NoError(w.t, err)
	w.life, w.store = &life{backend: w.out}, store
	p := pipeline.New(cfg, map[string]pipeline.Sink{"test": {Output: w.life, Workers: 1}}, store, slog.New(slog.DiscardHandler))
	src := record.NewSource("s", "d", "stdout", "t", nil, nil)
	w.feed, err = p.Attach(pipeline.Route{Stream: w.stream, Open: pipeline.Plain(func() cut.Cutter { return cut.NewFrames(src, w.stream, 1<<16, int64(time.Hour)) }), Source: src,
		Output: "test"})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	w.stop = func() {
		cancel()
		<-done
		require.NoError(w.t, store.Close())
	}
}

// keepStore copies the store of a life, with its slots, for the next one.
func keepStore(t require.TestingT, dir string, life int) {
	for _, file := range []string{"%d.db", "%d.db.slots"} {
		content, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf(file, life)))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf(file, life+1)), content, 0o600))
	}
}

// kill ends the life as SIGKILL would: what the next one finds of the store is what was committed by now.
func (w *world) kill(cfg pipeline.Config) {
	w.life.dead.Store(true)
	synctest.Wait()
	keepStore(w.t, w.dir, w.lives)
	w.stop()
	w.lives++
	w.start(cfg)
}

func (w *world) append(entries ...logdriver.LogEntry) {
	var b bytes.Buffer
	enc := logdriver.NewLogEntryEncoder(&b)
	for i := range entries {
		require.NoError(w.t, enc.Encode(&entries[i]))
	}
	w.stream.write(b.String())
}

// write appends a line, or a piece of one, to one of the standard streams.
func (w *world) write(std int, piece, last bool) {
	text := fmt.Sprintf("%s-%d-%s", names[std], w.stream.End(), strings.Repeat("x", 10))
	e := logdriver.LogEntry{Source: names[std], TimeNano: time.Now().UnixNano(), Line: []byte(text)}
	if piece || w.open[std] != "" {
		last = last || !piece
		e.Partial, e.PartialLogMetadata = true, &logdriver.PartialLogEntryMetadata{Id: names[std], Last: last}
		w.open[std] += text
		if last {
			w.want = append(w.want, w.open[std])
			w.open[std] = ""
		}
	} else {
		w.want = append(w.want, text)
	}
	w.append(e)
}

// plan is what a run of the model does. All of it is drawn before the run, which then needs nothing of rapid's.
type plan struct {
	BatchRecords int
	Verdicts     []string
	Steps        []step
}

type step struct {
	Do    string
	Sleep time.Duration
	Lines []piece
}

type piece struct {
	Std         int
	Piece, Last bool
}

func drawPlan(t *rapid.T) plan {
	pieces := rapid.Custom(func(t *rapid.T) piece {
		return piece{rapid.IntRange(0, 1).Draw(t, "std"), rapid.Bool().Draw(t, "piece"), rapid.Bool().Draw(t, "last")}
	})
	steps := rapid.Custom(func(t *rapid.T) step {
		return step{
			Do:    rapid.SampledFrom([]string{"write", "write", "write", "write", "sleep", "kill", "fail", "mend"}).Draw(t, "do"),
			Sleep: time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond,
			Lines: rapid.SliceOfN(pieces, 1, 5).Draw(t, "lines"),
		}
	})
	verdicts := rapid.SampledFrom([]string{"ok", "ok", "ok", "fail", "half", "lost answer", "slow", "index a", "index b", "busy"})
	return plan{
		BatchRecords: rapid.IntRange(1, 20).Draw(t, "records a batch"),
		Verdicts:     rapid.SliceOfN(verdicts, 1, 40).Draw(t, "verdicts"),
		Steps:        rapid.SliceOfN(steps, 1, 60).Draw(t, "steps"),
	}
}

// failing collects what failed and ends the run.
type failing struct{ err string }

func (f *failing) Errorf(format string, args ...any) { f.err += fmt.Sprintf(format, args...) }
func (f *failing) FailNow()                          { panic(f) }

// TestModel kills the pipeline at random moments of random work, with a backend that fails at random: every line must
// arrive, whole; twice only under the same identity.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, dir, f := drawPlan(rt), t.TempDir(), &failing{}
		synctest.Test(t, func(*testing.T) {
			defer func() {
				if r := recover(); r != nil && r != f {
					panic(r)
				}
			}()
			model(f, dir, p)
		})
		if f.err != "" {
			rt.Fatal(f.err)
		}
	})
}

func model(t require.TestingT, dir string, p plan) {
	cfg := config
	cfg.BatchRecords, cfg.ParkedBytes = p.BatchRecords, 1<<20
	w := &world{t: t, dir: dir, stream: &memory{key: "s"}, out: &backend{}}
	w.start(cfg)
	defer func() { w.stop() }()
	var writes atomic.Int64 // the pipeline sends what is parked beside what it reads
	w.out.say(func(ctx context.Context, b *record.Batch) error {
		verdict := p.Verdicts[(writes.Add(1)-1)%int64(len(p.Verdicts))]
		switch verdict {
		case "fail":
			return errors.New("no")
		case "half":
			if len(b.Records) > 1 {
				p := &output.Partial{Cause: errors.New("429")}
				for i := len(b.Records) / 2; i < len(b.Records); i++ {
					p.Retry = append(p.Retry, i)
				}
				return p
			}
		case "lost answer":
			w.out.mu.Lock()
			for i := range b.Records {
				w.out.take(&b.Records[i])
			}
			w.out.mu.Unlock()
			return errors.New("connection reset")
		case "index a", "index b":
			p := &output.Partial{Cause: errors.New("403")}
			for i := range b.Records {
				if name := string(w.life.AppendDestination(nil, &b.Records[i])); name == verdict {
					p.Blocked = append(p.Blocked, output.Blockage{Index: i, Destination: name, Reason: "403"})
				}
			}
			if len(p.Blocked) > 0 {
				return p
			}
		case "busy":
			p := &output.Partial{Cause: errors.New("429"), After: 2 * time.Second}
			for i := 0; i < len(b.Records); i += 2 {
				p.Retry = append(p.Retry, i)
			}
			return p
		case "slow":
			time.Sleep(700 * time.Millisecond)
		}
		return nil
	})
	for _, step := range p.Steps {
		switch step.Do {
		case "kill":
			w.kill(cfg)
		case "fail", "mend":
			w.stream.fail(step.Do == "fail")
		case "sleep":
			time.Sleep(step.Sleep)
		case "write":
			for _, l := range step.Lines {
				w.write(l.Std, l.Piece, l.Last)
			}
		}
		s := w.feed.Status(time.Now())
		require.Equal(t, s.ReadRecords, s.SentRecords+s.QueuedRecords+s.DroppedRecords+s.RefusedRecords+s.ParkedRecords)
		require.GreaterOrEqual(t, s.QueuedRecords, int64(0))
	}
	w.out.say(nil)
	w.stream.fail(false)
	w.stream.end()
	for std := range w.open {
		if w.open[std] != "" {
			w.want = append(w.want, w.open[std])
		}
	}
	time.Sleep(3 * time.Minute)
	arrived := map[string]bool{}
	for _, line := range w.out.got() {
		arrived[line] = true
	}
	for _, line := range w.want {
		require.True(t, arrived[line], "%q is lost", line)
	}
	synctest.Wait()
	require.Len(t, arrived, len(w.want), "something arrived that was never written")
	require.Len(t, w.out.ids, len(w.want), "what came twice has the same identity")
}
