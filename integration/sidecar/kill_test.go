// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

var seed = flag.Uint64("seed", rand.Uint64(), "of the kills, the writing and the backend's failures: what a failed test printed")

// Kills at moments that the test does not choose, while applications write, their files are rotated by renaming and by
// copying and truncating, and the backend fails now and then. No line is lost; and what comes again is only what was in
// flight: a position outlives a kill as soon as the answer was read, so that a line is settled whose sidecar lived on for a
// second after it was taken.
func killed(t *testing.T, times int) {
	const settles, longest = time.Second, 5 * time.Second
	t.Logf("-seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 1))
	backend := newFickle(t, *seed)
	p := newPod(t, "LOGGING_OUTPUT=http", "HTTP_URL="+backend.server.URL, "HTTP_COMPRESSION=none", "REMORA_RETRY_MAX=1s")
	p.env[0] = "aliyun_logs_app=" + p.logs + "/*.log*" // the rotated files and the copies too
	end := write(t, p)

	running := p.start(t)
	for range times {
		part := random.Float64()
		time.Sleep(time.Duration(part * part * float64(longest))) // many die young, and some get to commit
		running.kill()
		backend.killed(backend.life.Load(), settles)
		backend.life.Add(1)
		running = p.start(t)
	}
	p.put(t, "last.log", numbered("last", 0)+"\n") // so that the last life is known to work before it is told to end
	want := end()
	want["last"] = 1
	engine.Eventually(t, 2*time.Minute, func() (bool, string) {
		missing := backend.missing(want)
		return missing == "", missing
	})
	if code := running.terminate(t); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	backend.mu.Lock()
	defer backend.mu.Unlock()
	for name, w := range backend.writers {
		t.Logf("%s: %d lines, %d times one came again", name, w.Distinct, w.Twice)
		if w.late > 0 {
			t.Errorf("%s: %d lines came again whose sidecar had lived on for %v after they were taken", name, w.late, settles)
		}
		if w.Distinct != want[name] {
			t.Errorf("%s: %d different lines came of %d", name, w.Distinct, want[name])
		}
	}
}

// write has applications write to the pod until end, which tells how many lines each has written.
func write(t *testing.T, p *pod) (end func() map[string]int) {
	stop := make(chan struct{})
	var writing sync.WaitGroup
	var all []*rotating
	for i := range 4 {
		copies, name := i%2 == 1, "renamed"
		if copies {
			name = "copied"
		}
		w := newRotating(p.logs, name+strconv.Itoa(i), copies, rand.New(rand.NewPCG(*seed, uint64(2+i))))
		all = append(all, w)
		writing.Go(func() {
			if err := w.run(stop); err != nil {
				t.Error(err)
			}
		})
	}
	stopped := sync.OnceFunc(func() { close(stop); writing.Wait() })
	t.Cleanup(stopped)
	return func() map[string]int {
		stopped()
		lines := make(map[string]int)
		for _, w := range all {
			lines[w.name] = w.lines
			t.Logf("%s: rotated %d times", w.name, w.rotated)
		}
		return lines
	}
}

func TestTwentyKills(t *testing.T) { killed(t, 20) }

// Ended by SIGTERM and started again, it continues where the backend has acknowledged: nothing is lost, nothing comes twice.
func TestGoesOnWhereItWas(t *testing.T) {
	backend := sink.New(t, sink.Healthy)
	p := newPod(t, backend.Settings()...)
	log := verify.Open(backend.Path)
	p.writer(t, "app.log", "steady", 30_000, 5_000, 0)
	for range 3 {
		running := p.start(t)
		time.Sleep(1500 * time.Millisecond)
		if code := running.terminate(t); code != 0 {
			t.Errorf("SIGTERM: exit code %d", code)
		}
	}
	p.start(t)
	log.ExactlyOnce(t, time.Minute, "steady", "", 30_000)
}

// What a down backend could not take is kept by the file, not by the sidecar, across a restart too.
func TestBackendDown(t *testing.T) {
	backend := sink.New(t, sink.Down)
	p := newPod(t, append(backend.Settings(), "REMORA_DRAIN_TIMEOUT=1s")...)
	running := p.start(t)
	p.writer(t, "app.log", "patient", 20_000, 0, 0)
	running.says(t, "connection refused")
	if code := running.terminate(t); code == 0 {
		t.Error("it ended with 0 although lines remain")
	}
	p.start(t)
	backend.Be(t, sink.Healthy)
	verify.Open(backend.Path).Await(t, time.Minute, "patient", "", 20_000)
}

// CONSOLE_FORMAT=raw makes `kubectl logs` of the sidecar show what the application wrote, byte for byte.
func TestConsoleRaw(t *testing.T) {
	p := newPod(t, "LOGGING_OUTPUT=console", "CONSOLE_FORMAT=raw")
	const text = "plain\n\"quoted\" and tab\t\nnot UTF-8: \xff\xfe\n\nafter an empty line\n"
	running := p.start(t)
	p.put(t, "app.log", text)
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		got := running.out.String()
		return got == text, "standard output holds " + strconv.Quote(got)
	})
}

func TestRecordOfAFile(t *testing.T) {
	p := newPod(t, "POD_NAME=web-0", "POD_NAMESPACE=prod", "POD_UID=0-1-2", "NODE_NAME=node-7", "CONTAINER_NAME=web",
		"aliyun_logs_app_tags=team=blue", "aliyun_logs_app_target=shop")
	p.put(t, "app.log", "first\nsecond\n")
	running := p.start(t) // console is the default
	log := verify.Open(t.TempDir() + "/out")
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		out := running.out.String()
		return strings.Count(out, "\n") == 2, out
	})
	if err := os.WriteFile(log.Path(), []byte(running.out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log.Read(t)
	for key, want := range map[string]any{
		"message": "second", "offset": float64(len("first\n")), "source": p.logs + "/app.log", "team": "blue",
		"k8s_pod": "web-0", "k8s_pod_namespace": "prod", "k8s_pod_uid": "0-1-2", "k8s_node_name": "node-7",
		"k8s_container_name": "web", "stream": nil,
	} {
		if got := log.Others[1].Members(t)[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}
