// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/integration/engine"
)

// site is a sidecar and a node agent that a Prometheus scrapes, and the sidecar's backend.
type site struct {
	t                         *testing.T
	dir, logs, config         string
	backend                   atomic.Int64 // the status that it answers with
	sidecar                   *os.Process
	sidecarAt, nodeAt, promAt string
	fired                     map[string]bool
}

// hurried are the rules with times that a test can wait for, and one second instead of 300 as what is late.
func hurried(rules string) string {
	rules = regexp.MustCompile(`for: \d+m`).ReplaceAllString(rules, "for: 0s")
	rules = regexp.MustCompile(`\[\d+m\]`).ReplaceAllString(rules, "[3s]")
	return strings.Replace(rules, "> 300 and", "> 1 and", 1)
}

func newSite(t *testing.T) *site {
	dir := t.TempDir()
	s := &site{t: t, dir: dir, logs: filepath.Join(dir, "logs"), config: filepath.Join(dir, "remora.yml"), sidecarAt: address(t), nodeAt: address(t),
		promAt: address(t), fired: map[string]bool{}}
	s.backend.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(s.backend.Load()))
	}))
	t.Cleanup(server.Close)
	if err := os.Mkdir(s.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	s.declare("")
	s.sidecar = start(t, []string{"REMORA_LISTEN=" + s.sidecarAt, "REMORA_STATE_DIR=" + filepath.Join(dir, "state"),
		"REMORA_CONFIG=" + s.config, "LOGGING_OUTPUT=http", "HTTP_URL=" + server.URL, "REMORA_MAX_DELETED_BYTES=1048576",
		"REMORA_RETRY_MAX=500ms", "REMORA_BATCH_BYTES=262144"}, filepath.Join(engine.Root(t), "bin", "remora-sidecar")).Process
	write(t, filepath.Join(dir, "remora.rules.yml"), hurried(rules(t)))
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`{global: {scrape_interval: 300ms, evaluation_interval: 300ms},
rule_files: [remora.rules.yml], scrape_configs: [{job_name: remora, static_configs: [{targets: [%q]}]},
{job_name: remora-node, file_sd_configs: [{files: [%q], refresh_interval: 1s}]}]}`, s.sidecarAt, filepath.Join(dir, "node.json")))
	start(t, nil, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "tsdb"),
		"--web.listen-address="+s.promAt, "--web.enable-lifecycle")
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// declare declares the files *.log, and what more says.
func (s *site) declare(more string) {
	s.t.Helper()
	write(s.t, s.config+".new", "logs:\n  app: "+s.logs+"/*.log\n"+more)
	if err := os.Rename(s.config+".new", s.config); err != nil {
		s.t.Fatal(err)
	}
}

// append writes n lines of 1 KiB to a file.
func (s *site) append(file string, n int) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.logs, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Repeat(strings.Repeat("x", 1023)+"\n", n)); err != nil {
		s.t.Fatal(err)
	}
}

// firing returns the alerts that fire now, and notes them.
func (s *site) firing() map[string]bool {
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	now := map[string]bool{}
	if json.Unmarshal([]byte(get(s.t, "http://"+s.promAt+"/api/v1/alerts")), &answer) != nil {
		return now
	}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			now[a.Labels["alertname"]], s.fired[a.Labels["alertname"]] = true, true
		}
	}
	return now
}

// until waits for alerts to fire, and does something meanwhile.
func (s *site) until(meanwhile func(), names ...string) {
	s.t.Helper()
	began := time.Now()
	defer func() { s.t.Logf("%v after %v", names, time.Since(began).Round(time.Millisecond)) }()
	engine.Eventually(s.t, 20*time.Second, func() (bool, string) {
		meanwhile()
		now := s.firing()
		for _, name := range names {
			if !now[name] {
				return false, fmt.Sprintf("%s does not fire, but %v", name, slices.Sorted(maps.Keys(now)))
			}
		}
		return true, ""
	})
}

func nothing() {}

// Each alert fires for what it is made for, and none before.
func TestAlertsFire(t *testing.T) {
	s := newSite(t)
	s.append("a.log", 10)
	engine.Eventually(t, 20*time.Second, func() (bool, string) {
		answer := get(t, "http://"+s.promAt+"/api/v1/query?query=remora_sent_records_total")
		now := s.firing()
		return strings.Contains(answer, `"10"`) && len(now) == 0, fmt.Sprint(answer, " fires: ", now)
	})
	clear(s.fired) // before the first scrape the agents are missing
	promtool(t, get(t, "http://"+s.sidecarAt+"/metrics"), "check", "metrics")

	s.declare("  bad: not/absolute\n")
	s.backend.Store(http.StatusBadRequest)
	s.append("a.log", 1)
	start(t, []string{"REMORA_LISTEN=" + s.nodeAt, "REMORA_STATE_DIR=" + t.TempDir(), "LOGGING_OUTPUT=null", "REMORA_RUNTIME=cri",
		"REMORA_CRI_SOCKET=/nowhere.sock", "REMORA_POD_LOGS=/nowhere", "REMORA_CONTAINERD_SPOOL=/nowhere"},
		filepath.Join(engine.Root(t), "bin", "remora-node"))
	write(t, filepath.Join(s.dir, "node.json"), fmt.Sprintf(`[{"targets": [%q]}]`, s.nodeAt))
	s.until(nothing, "RemoraRecordsRefused")

	s.backend.Store(http.StatusServiceUnavailable)
	s.append("deleted.log", 900)
	s.append("truncated.log", 3000)
	s.until(nothing, "RemoraOutputFailing")
	if err := os.Remove(filepath.Join(s.logs, "deleted.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(s.logs, "truncated.log"), 0); err != nil {
		t.Fatal(err)
	}
	s.append("truncated.log", 1)
	s.until(func() { s.append("a.log", 100) }, "RemoraBacklogGrows", "RemoraDiskBudgetNearEnd", "RemoraRecordsDropped")

	// The disk with the state takes nothing more.
	if err := unix.Prlimit(s.sidecar.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: 1}, nil); err != nil {
		t.Fatal(err)
	}
	s.backend.Store(http.StatusOK)
	s.until(func() { s.append("a.log", 1) }, "RemoraCheckpointsNotStored")
	if err := s.sidecar.Kill(); err != nil {
		t.Fatal(err)
	}
	s.until(nothing, "RemoraMissing", "RemoraFault") // the node agent finds no runtime
	for _, name := range alertNames(rules(t)) {
		if !s.fired[name] {
			t.Error(name, "has not fired")
		}
	}
}
