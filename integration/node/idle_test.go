// SPDX-License-Identifier: Apache-2.0

//go:build long

package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// idleMost is how much of a core an agent of 1,000 quiet containers and 5,000 rules may use.
const idleMost = 0.01

// What the agent costs where nobody writes: a machine of 1,000 containers, as the kubelet's directory shows them, with
// 5,000 rules. It needs no engine. REMORA_NODE names another binary, to compare.
func TestLongIdleCost(t *testing.T) {
	root := t.TempDir()
	const line = "2026-01-02T03:04:05Z stdout F a line\n"
	for i := range 1000 {
		dir := filepath.Join(root, "var/log/pods", fmt.Sprintf("shop-%d_web-%d_%08d-0000-0000-0000-000000000000/app", i%50, i, i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0.log"), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var rules strings.Builder
	rules.WriteString("collect:\n")
	for i := range 5000 {
		fmt.Fprintf(&rules, "- {name: rule%d, match: {namespace: shop-%d, pod: \"web-%d*\"}, logs: {console%d: stdout}}\n", i, i%50, i, i)
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
	binary := os.Getenv("REMORA_NODE")
	if binary == "" {
		binary = filepath.Join(engine.Root(t), "bin", "remora-node")
	}
	said := new(said)
	agent := exec.Command(binary)
	agent.Stdout, agent.Stderr = said, said
	agent.Env = []string{"REMORA_STATE_DIR=" + state, "LOGGING_OUTPUT=file", "FILE_PATH=" + t.TempDir(), "REMORA_HOST_ROOT=" + root,
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
	const settle, measured = 90 * time.Second, 60 * time.Second // files cost more in the first minute after they grew
	time.Sleep(settle)
	before := cpuTime(t, agent.Process.Pid)
	time.Sleep(measured)
	share := (cpuTime(t, agent.Process.Pid) - before).Seconds() / measured.Seconds()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", agent.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	rss, _, _ = strings.Cut(rss, "\n")
	t.Logf("%.2f %% of a core, %s resident", share*100, strings.TrimSpace(rss))
	if share > idleMost {
		t.Errorf("%.2f %% of a core, want at most %.0f %%", share*100, idleMost*100)
	}
}

// cpuTime is what a process has used, in user and kernel mode.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third one of proc_pid_stat(5) on: utime is the 14th, stime the 15th
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}
