// SPDX-License-Identifier: Apache-2.0

//go:build long

package node

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

const (
	busyContainers = 200
	busyRate       = 500 // lines a second of each
	busyRules      = 500
	busyFor        = 30 * time.Second

	busyCPU    = 0.6
	busyMemory = 64 << 20
	busyP99    = 500 * time.Millisecond
)

// tally is a backend that keeps a bit for each line of each container, and how long each took since the runtime wrote it.
type tally struct {
	mu    sync.Mutex
	seen  [busyContainers][]bool
	lines int
	again int
	took  []time.Duration
}

func (a *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range bytes.Lines(body) {
		a.count(line, now)
	}
}

// count reads what it needs of a record by hand: a hundred thousand come in a second.
func (a *tally) count(line []byte, now time.Time) {
	_, rest, ok := bytes.Cut(line, []byte(`"message":"c`))
	stamp, _, _ := bytes.Cut(line[min(len(line), len(`{"@timestamp":"`)):], []byte{'"'})
	text, _, _ := bytes.Cut(rest, []byte{'"'})
	container, text, _ := bytes.Cut(text, []byte{' '})
	number, _, _ := bytes.Cut(text, []byte{' '})
	c, err1 := strconv.Atoi(string(container))
	n, err2 := strconv.Atoi(string(number))
	at, err3 := time.Parse(time.RFC3339Nano, string(stamp))
	if !ok || err1 != nil || err2 != nil || err3 != nil || c >= busyContainers {
		return
	}
	for len(a.seen[c]) <= n {
		a.seen[c] = append(a.seen[c], make([]bool, 1024)...)
	}
	if a.seen[c][n] {
		a.again++
		return
	}
	a.seen[c][n] = true
	a.lines++
	a.took = append(a.took, now.Sub(at))
}

func (a *tally) arrived() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines
}

// writeBusy writes each container's lines as a runtime does, every ten milliseconds, and returns how many each has.
func writeBusy(t *testing.T, dirs []string, end time.Time) int {
	files := make([]*os.File, len(dirs))
	for i, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, "0.log"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	var text []byte
	begun, n := time.Now(), 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for now := begun; now.Before(end); now = <-tick.C {
		due := int(time.Since(begun).Seconds() * busyRate)
		for i, f := range files {
			stamp := time.Now().UTC().Format(time.RFC3339Nano)
			text = text[:0]
			for k := n; k < due; k++ {
				text = fmt.Appendf(text, "%s stdout F c%03d %06d GET /shop/item/%d HTTP/1.1 200 512 of a line as services write them\n", stamp, i, k, k)
			}
			if _, err := f.Write(text); err != nil {
				t.Fatal(err)
			}
		}
		n = due
	}
	return n
}

// A busy machine: 200 containers that write 500 lines a second each, with 500 rules. What the agent takes, and how long a
// line is on its way; each line arrives once.
func TestLongBusyMachine(t *testing.T) {
	root := t.TempDir()
	var dirs []string
	for i := range busyContainers {
		dir := filepath.Join(root, "var/log/pods", fmt.Sprintf("shop-%d_web-%d_%08d-0000-0000-0000-000000000000/app", i%50, i, i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0.log"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	var rules strings.Builder
	rules.WriteString("collect:\n")
	for i := range busyRules {
		if i < busyContainers {
			fmt.Fprintf(&rules, "- {name: rule%d, match: {namespace: shop-%d, pod: web-%d}, logs: {console: stdout}}\n", i, i%50, i)
		} else {
			fmt.Fprintf(&rules, "- {name: rule%d, match: {namespace: shop-%d, label: {tier: t%d}}, logs: {other%d: stdout}}\n", i, i%50, i, i)
		}
	}
	config := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(config, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	backend := &tally{}
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)

	said := new(said)
	agent := exec.Command(filepath.Join(engine.Root(t), "bin", "remora-node"))
	agent.Stdout, agent.Stderr = said, said
	agent.Env = []string{"REMORA_STATE_DIR=" + state, "LOGGING_OUTPUT=http", "HTTP_URL=" + server.URL, "REMORA_HOST_ROOT=" + root,
		"REMORA_CONFIG=" + config, "DOCKER_HOST=unix:///nowhere.sock", "REMORA_CRI_SOCKET=/nowhere.sock", "REMORA_LOG_LEVEL=error"}
	if err := agent.Start(); err != nil {
		t.Fatalf("%v; make build makes it", err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
		if t.Failed() {
			t.Logf("what the agent said:\n%.3000s", said)
		}
	})
	time.Sleep(5 * time.Second) // until it has found them

	before, begun := cpuTime(t, agent.Process.Pid), time.Now()
	n := writeBusy(t, dirs, begun.Add(busyFor))
	engine.Eventually(t, time.Minute, func() (bool, string) {
		arrived := backend.arrived()
		return arrived == n*busyContainers, fmt.Sprintf("%d of %d lines have arrived", arrived, n*busyContainers)
	})
	share := (cpuTime(t, agent.Process.Pid) - before).Seconds() / time.Since(begun).Seconds()
	peak := peakMemory(t, agent.Process.Pid)
	t.Logf("%d lines: %.2f of a core, %d MiB at most, %d twice", n*busyContainers, share, peak>>20, backend.again)
	report(t, "from a line to the backend", backend.took, busyP99)
	if share > busyCPU || peak > busyMemory || backend.again > 0 {
		t.Errorf("want at most %.1f of a core, %d MiB, and nothing twice", busyCPU, busyMemory>>20)
	}
}

// peakMemory is the most that a process had resident.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	field, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.Atoi(field)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
