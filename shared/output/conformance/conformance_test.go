// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
)

// protocol is an output and the server it is tried against.
type protocol struct {
	name string
	// environ is the settings that lead the output to address, over TLS if ca is set. timeout is that of a request, in ms.
	environ func(address, ca, timeout string) map[string]string
	// start makes the fake speak the protocol.
	start func(*server)
	// not is what can't happen in the protocol.
	not []behaviour
	// once says that the server recognises what it is sent again, so that nothing is stored twice whatever happens.
	once bool
}

func TestEveryOutputIsHere(t *testing.T) {
	here := map[string]bool{}
	for _, p := range protocols {
		here[p.name] = true
	}
	for _, name := range local {
		here[name] = true
	}
	for _, name := range registry.Names() {
		require.True(t, here[name], "output %s has no conformance run", name)
	}
}

func TestConformance(t *testing.T) {
	for _, p := range protocols {
		for _, how := range behaviours {
			if contains(p.not, how) {
				continue
			}
			t.Run(p.name+"/"+string(how), func(t *testing.T) {
				t.Parallel()
				run(t, p, how)
			})
		}
	}
}

func contains(all []behaviour, how behaviour) bool {
	for _, b := range all {
		if b == how {
			return true
		}
	}
	return false
}

// run lets streams be delivered to a server that misbehaves at first and then recovers.
func run(t *testing.T, p protocol, how behaviour) {
	streams := []*lines{{key: "stream-1"}, {key: "stream-2"}, {key: "stream-3"}}
	s := newServer(t, newLedger(t, streams))
	p.start(s)
	var ca string
	right, wrong := newAuthority(t), newAuthority(t)
	if how == wrongCert {
		ca = right.file
		s.tls = wrong.config(t)
	}
	if how != refusing {
		s.open()
	}
	s.behave(how)
	timeout := "10000"
	if how == mute || how == trickling {
		timeout = "1500"
	}
	rig := newRig(t, p.name, p.environ(s.address, ca, timeout), streams)
	for i, l := range streams {
		l.count.Store(int64(700 + 300*i))
	}
	rig.misbehave(s, how, streams)

	if how == wrongCert {
		s.shut()
		s.mu.Lock()
		s.tls = right.config(t)
		s.mu.Unlock()
	}
	s.behave(healthy)
	s.open()
	for _, l := range streams {
		l.count.Add(200)
		l.ended.Store(true)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !rig.Drain(ctx) {
		var who bytes.Buffer // waits for what
		_ = pprof.Lookup("goroutine").WriteTo(&who, 1)
		t.Fatalf("not delivered after %v: %d missing\n%s\n%s", patience, s.missing(streams), rig.log, &who)
	}
	rig.stop()
	rig.until(func() bool { return s.missing(streams) == 0 }) // where nothing is acknowledged, some are on their way

	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, len(s.dead), rig.deadLetters(), "each refused record is kept, and no other")
	if !s.ledger.shuffled {
		require.Zero(t, s.ledger.outOfOrder, "order within a stream")
	}
	if how == healthy || how == slow || p.once {
		require.Equal(t, int(total(streams)), s.ledger.total, "no record twice")
	}
	rig.checkLog(t, how)
}

func total(streams []*lines) (n int64) {
	for _, l := range streams {
		n += l.count.Load()
	}
	return n
}

// rig is a pipeline with the output under test.
type rig struct {
	*pipeline.Pipeline
	t    *testing.T
	log  *journal
	dead string
	stop func()
}

func newRig(t *testing.T, name string, environ map[string]string, streams []*lines) *rig {
	o, err := registry.Open(name, environ)
	require.NoError(t, err)
	dir := t.TempDir()
	store, err := checkpoint.Open(filepath.Join(dir, "checkpoints.db"))
	require.NoError(t, err)
	r := &rig{t: t, log: &journal{}, dead: filepath.Join(dir, "dead")}
	config := pipeline.Config{
		BatchBytes: 64 << 10, BatchRecords: 400, BatchLinger: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond,
		DeadLetter: r.dead, DeadLetterBytes: 1 << 30,
	}
	r.Pipeline = pipeline.New(config, map[string]pipeline.Sink{name: {Output: o, Workers: 2}}, store,
		slog.New(slog.NewTextHandler(r.log, nil)))
	for _, l := range streams {
		src := l.source()
		_, err := r.Attach(pipeline.Route{Stream: l, Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) }), Source: src, Output: name})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		require.NoError(t, store.Close())
	})
	t.Cleanup(r.stop)
	return r
}

// misbehave gives the server the time to misbehave as told.
func (r *rig) misbehave(s *server, how behaviour, streams []*lines) {
	switch how {
	case healthy:
	case restarting:
		for range 4 {
			before := s.tried()
			r.until(func() bool { return s.tried() > before })
			was := r.log.count("output failed, retrying")
			s.shut()
			for _, l := range streams {
				l.count.Add(100)
			}
			r.until(func() bool { return r.log.count("output failed, retrying") > was })
			for _, l := range streams {
				l.count.Add(100)
			}
			s.open()
			r.until(func() bool { return r.log.count("output recovered") == r.log.count("output failed, retrying") })
			for _, l := range streams {
				l.count.Add(100)
			}
		}
	case hangingUp:
		before, started := s.connections(), time.Now()
		r.until(func() bool { return r.log.has("output failed") && s.connections() >= before+3 })
		time.Sleep(300 * time.Millisecond)
		// Two batches, each with a pause of 100 ms at most between two attempts, of two connections each at most.
		require.LessOrEqual(r.t, s.connections()-before, 20+int(time.Since(started)/(10*time.Millisecond)))
	case zipping:
		r.until(func() bool { return s.tried() >= 4 && r.log.has("the disk is full") })
	case redirecting:
		r.until(func() bool { return s.tried() >= 4 && r.log.has("https://elsewhere.example/ingest") })
	case refusing, wrongCert:
		r.until(func() bool { return r.log.has("output failed") })
		time.Sleep(300 * time.Millisecond) // for further attempts, which nobody can count
	default:
		r.until(func() bool { return s.tried() >= 4 })
	}
}

func (r *rig) until(reached func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain\n%s", r.log)
		}
	}
}

// deadLetters counts the records that were put aside.
func (r *rig) deadLetters() int { return countLines(r.t, r.dead) }

// checkLog wants one line when the output stopped taking records and one when it took them again, not one a retry.
func (r *rig) checkLog(t *testing.T, how behaviour) {
	down, up := r.log.count("output failed, retrying"), r.log.count("output recovered")
	switch how {
	case healthy, slow, tooLarge:
		require.Zero(t, down, "%s", r.log)
	case restarting:
		// Of two batches that were on their way one may have been answered just before, so that it looks up once more.
		require.LessOrEqual(t, down, 8, "%s", r.log)
	case zipping:
		// One of two batches may never be told that the disk is full.
	case half:
		// Of two batches one may hold nothing that is refused.
		require.NotZero(t, down, "%s", r.log)
	default:
		inOutage, later := r.log.failures()
		require.Equal(t, 1, inOutage, "%s", r.log)
		// Of two batches in flight one may have had its answer just before the server was well, and be reported just after.
		require.LessOrEqual(t, later, 1, "%s", r.log)
	}
	require.Equal(t, down, up, "%s", r.log)
	require.NotContains(t, r.log.String(), secret)
}

// secret is the password that all outputs under test are given.
const secret = "correct-horse-battery"

// journal is a log that can be looked into.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) count(text string) int { return strings.Count(j.String(), text) }
func (j *journal) has(text string) bool  { return j.count(text) > 0 }

// failures counts what is reported of an output that fails: before it has recovered for the first time, and later. Later
// time-outs do not count: some tests have a short one, which a busy machine exceeds.
func (j *journal) failures() (inOutage, later int) {
	const failed = "output failed, retrying"
	before, after, _ := strings.Cut(j.String(), "output recovered")
	for line := range strings.Lines(after) {
		if strings.Contains(line, failed) && !strings.Contains(line, "no answer within") {
			later++
		}
	}
	return strings.Count(before, failed), later
}

// TestMemoryIsBounded offers far more than fits while nothing is taken.
func TestMemoryIsBounded(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			streams := []*lines{{key: "stream-1"}, {key: "stream-2"}}
			s := newServer(t, newLedger(t, streams))
			p.start(s)
			s.open()
			s.behave(mute)
			before := heap()
			rig := newRig(t, p.name, p.environ(s.address, "", "300"), streams)
			for _, l := range streams {
				l.count.Store(1 << 40 / width)
			}
			rig.until(func() bool { return s.tried() >= 4 })
			require.Less(t, heap()-before, int64(8<<20), "bytes held while 2 TiB wait")
			rig.stop()
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
