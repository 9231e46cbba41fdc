package sidecar

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// Twenty kills at random moments while the application writes and rotates. None of its lines is lost; and what comes again
// is only what was not yet acknowledged durably: checkpoints are written about once a second, so that a line which was
// taken two seconds before a kill is settled.
func TestTwentyKills(t *testing.T) {
	const lines, rate, settles = 200_000, 5_500, 2 * time.Second
	backend := sink.New(t, sink.Healthy)
	p := newPod(t, backend.Settings()...)
	log := verify.Open(backend.Path)
	taken := make([]time.Time, lines) // when it came last
	settled := make([]bool, lines)
	again := 0
	log.Each = func(t testing.TB, r *verify.Record) {
		words := strings.Fields(r.Line())
		if words[0] != "survivor" {
			return
		}
		n, _ := strconv.Atoi(words[1])
		taken[n] = time.Now()
		if settled[n] {
			again++
		}
	}

	running, began := p.start(t), time.Now()
	p.writer(t, "app.log", "survivor", lines, rate, 30_000)
	for range 20 {
		until := time.Now().Add(200*time.Millisecond + rand.N(3300*time.Millisecond))
		for time.Now().Before(until) {
			log.Read(t)
			time.Sleep(50 * time.Millisecond)
		}
		running.kill()
		for n, at := range taken {
			settled[n] = settled[n] || at.After(began) && time.Since(at) > settles
		}
		running, began = p.start(t), time.Now()
	}
	n := log.Await(t, time.Minute, "survivor", "", lines)
	t.Logf("%d times a line of %d came again", n.Twice, lines)
	if again > 0 {
		t.Errorf("%d times a line came again that had been taken more than %v before a kill", again, settles)
	}
	p.put(t, "last.log", "end 0\n") // by now the last one may have only just been started
	log.Await(t, 10*time.Second, "end", "", 1)
	if code := running.terminate(t); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

// Ended by SIGTERM and started again, it goes on where the backend has acknowledged: nothing is lost, nothing comes twice.
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
