// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// realPipeline delivers what a rig's tailer finds through shared/pipeline and a real store, in virtual time.
type realPipeline struct {
	*rig
	state string
	lives int
	store *checkpoint.Store
	*pipeline.Pipeline
	output *recorder
	stop   func()
}

// recorder is a backend that notes what it is given in the rig, unless it is blocked; while it is deaf its answers are
// lost.
type recorder struct {
	mu      sync.Mutex
	changed *sync.Cond
	arrived []line
	// dead says that this life was killed: what it still sends counts no more.
	blocked, deaf, dead bool
}

func newRecorder() *recorder {
	o := &recorder{}
	o.changed = sync.NewCond(&o.mu)
	return o
}

func (o *recorder) Write(ctx context.Context, b *record.Batch) error {
	defer context.AfterFunc(ctx, o.changed.Broadcast)()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.blocked && ctx.Err() == nil {
		o.changed.Wait()
	}
	if o.dead || ctx.Err() != nil {
		return context.Canceled
	}
	for i := range b.Records {
		r := &b.Records[i]
		o.arrived = append(o.arrived, line{r.Source.Stream, r.Source.Declaration, r.Source.Path, r.Offset, string(r.Line), r.Truncated})
	}
	for o.deaf && ctx.Err() == nil {
		o.changed.Wait()
	}
	if o.dead {
		return context.Canceled
	}
	return ctx.Err()
}

func (o *recorder) Close() error { return nil }

// set changes how it behaves, and takes what has arrived.
func (o *recorder) set(blocked, deaf, dead bool) (arrived []line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blocked, o.deaf, o.dead = blocked, deaf, o.dead || dead
	o.changed.Broadcast()
	arrived, o.arrived = o.arrived, nil
	return arrived
}

func (p *realPipeline) path() string { return filepath.Join(p.state, fmt.Sprintf("%d.db", p.lives)) }

func (p *realPipeline) start() Store {
	store, err := checkpoint.Open(p.path())
	require.NoError(p, err)
	p.output, p.store = newRecorder(), store
	p.output.set(p.blocked, p.deaf, false)
	sinks := map[string]pipeline.Sink{}
	for _, name := range []string{"out", "second"} {
		sinks[name] = pipeline.Sink{Output: p.output, Workers: 1}
	}
	cfg := pipeline.Config{BatchBytes: 1 << 20, BatchRecords: 100, BatchLinger: 50 * time.Millisecond, RetryMax: time.Second, ParkedBytes: 1 << 20, DeadLetterBytes: 1}
	p.Pipeline = pipeline.New(cfg, sinks, store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	p.stop = func() {
		cancel()
		<-done
		require.NoError(p, store.Close())
	}
	return store
}

// Attach implements Sink.
func (p *realPipeline) Attach(s stream.Stream, _ *Origin, sel *Selection, path, output string, done func()) (func(), error) {
	src := record.NewSource(s.Key(), sel.Name, path, "", nil, nil)
	feed, err := p.Pipeline.Attach(pipeline.Route{Stream: s, Source: src, Output: output, Keep: true, Done: done,
		Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, p.maxLine) })})
	if err != nil {
		return nil, err
	}
	return feed.Detach, nil
}

// pump gives the pipeline the time to read, send and commit.
func (p *realPipeline) pump() {
	p.arrived = append(p.arrived, p.output.set(p.blocked, p.deaf, false)...)
	time.Sleep(3 * time.Second)
	synctest.Wait()
	p.arrived = append(p.arrived, p.output.set(p.blocked, p.deaf, false)...)
}

// kill ends the pipeline as SIGKILL does: the next life finds what was committed by now.
func (p *realPipeline) kill() {
	synctest.Wait()
	p.arrived = append(p.arrived, p.output.set(p.blocked, p.deaf, true)...)
	b, err := os.ReadFile(p.path())
	require.NoError(p, err)
	p.stop()
	p.lives++
	require.NoError(p, os.WriteFile(p.path(), b, 0o600))
}

// pipelineShare is how many times fewer stories are told with the pipeline: each takes as many times longer.
const pipelineShare = 10

// TestModelWithThePipeline is TestModel with shared/pipeline in the place of the rig's own, which reads and commits in
// the simplest way there is.
func TestModelWithThePipeline(t *testing.T) {
	dir := t.TempDir()
	few(t)
	n := 0
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) { // it must not ask for the deadline, which has another clock
			if n++; n%pipelineShare != 0 {
				return
			}
			sub := fmt.Sprintf("%s/%d", dir, n)
			for _, d := range []string{sub, sub + "/state", sub + "/logs"} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			defer os.RemoveAll(sub)
			m := newModel(t, sub+"/logs")
			m.real = &realPipeline{rig: m.rig, state: sub + "/state"}
			defer m.restore()
			defer m.rig.kill()
			m.run(t)
		})
	})
}
