// SPDX-License-Identifier: Apache-2.0

// Package prometheus holds the proofs that Remora's metrics, alerting rules and dashboard fit a real Prometheus: Debian's.
package prometheus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/telemetry"
)

// promtool runs Prometheus' own checks.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("error")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) {
	dir := filepath.Join(engine.Root(t), "deploy", "prometheus")
	promtool(t, "", "test", "rules", filepath.Join(dir, "remora.rules.test.yml"))
	promtool(t, "", "check", "config", filepath.Join(dir, "prometheus.yml"))
	tested, err := os.ReadFile(filepath.Join(dir, "remora.rules.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range alertNames(rules(t)) {
		if strings.Count(string(tested), "alertname: "+name+"\n") < 2 {
			t.Errorf("%s has no test that it fires and that it does not", name)
		}
	}
	known(t, rules(t))
}

func rules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(engine.Root(t), "deploy", "prometheus", "remora.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func alertNames(rules string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^ *- alert: (\S+)$`).FindAllStringSubmatch(rules, -1) {
		names = append(names, m[1])
	}
	return names
}

// known checks that there are all metrics that a text names, by their new names.
func known(t *testing.T, text string) (found int) {
	t.Helper()
	names := map[string]bool{}
	for _, d := range telemetry.Catalogue() {
		names[d.Name] = true
		if d.Kind == telemetry.Histogram {
			names[d.Name+"_bucket"], names[d.Name+"_sum"], names[d.Name+"_count"] = true, true, true
		}
	}
	for _, name := range regexp.MustCompile(`\b(remora|process|go)_[a-z_]+[a-z]\b`).FindAllString(text, -1) {
		found++
		if !names[name] {
			t.Errorf("there is no metric %s", name)
		}
	}
	return found
}

// What any way in exports, old names included, is as Prometheus wants it.
func TestNames(t *testing.T) {
	s := telemetry.Snapshot{Version: "v1", Outputs: []telemetry.Output{{Name: "kafka"}, {Name: "loki"}},
		Logs: []telemetry.Log{{Container: "w\"e\nb\xff", Declaration: "d", Output: "kafka"}}}
	own := new(bytes.Buffer)
	s.WriteMetrics(own)
	for _, d := range telemetry.Catalogue() {
		if d.From != "" || d == &telemetry.ParkedDisk || d == &telemetry.ParkedLimit {
			s.Metrics = append(s.Metrics, d.Metric(1))
		}
	}
	all := new(bytes.Buffer)
	s.WriteMetrics(all)
	if all.Len() <= own.Len() {
		t.Fatal("the ways in have no metrics")
	}
	promtool(t, all.String(), "check", "metrics")
}

// A query of the dashboard is one that Prometheus understands, about metrics that there are.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(engine.Root(t), "deploy", "grafana", "remora.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr, RefID string }
		}
		Templating struct {
			List []struct{ Query any }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var asRules strings.Builder
	asRules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	queries, ids := 0, map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the number %d", p.ID)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*").Replace(target.Expr)
			fmt.Fprintf(&asRules, "  - record: q%d\n    expr: %q\n", queries, expr)
			if known(t, target.Expr) == 0 {
				t.Errorf("%s names no metric", p.Title)
			}
			queries++
		}
	}
	if queries < 20 {
		t.Errorf("only %d queries were found", queries)
	}
	variables, err := json.Marshal(dashboard.Templating)
	if err != nil {
		t.Fatal(err)
	}
	if known(t, string(variables)) == 0 {
		t.Error("no variable was found")
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(asRules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

// address returns an address on loopback that is free.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a program until the test ends.
func start(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	said := new(bytes.Buffer)
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("what %s said:\n%.3000s", filepath.Base(name), said)
		}
	})
	return cmd
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(text)
}
