// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// machine is a node's surroundings: a host's root, and a backend.
type machine struct {
	t       *testing.T
	root    string
	environ map[string]string
	arrived chan []map[string]any // a batch each
	all     []map[string]any
}

func newMachine(t *testing.T, rules string) *machine {
	m := &machine{t: t, root: t.TempDir(), arrived: make(chan []map[string]any, 1000)}
	state, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(state)) })
	config := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(config, []byte(rules), 0o600))
	backend := httptest.NewServer(m)
	t.Cleanup(backend.Close)
	m.environ = map[string]string{
		"REMORA_STATE_DIR": state, "LOGGING_OUTPUT": "http", "HTTP_URL": backend.URL, "REMORA_HOST_ROOT": m.root, "REMORA_CONFIG": config,
		"REMORA_RUNTIME": "auto", "DOCKER_HOST": "unix:///nowhere.sock", "REMORA_CRI_SOCKET": "/nowhere.sock", "CONTAINERD_ADDRESS": "/nowhere.sock",
		"REMORA_LOG_LEVEL": "error",
		"REMORA_HOST":      "node-1",
	}
	return m
}

// ServeHTTP takes a batch.
func (m *machine) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var batch []map[string]any
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var record map[string]any
		if json.Unmarshal(lines.Bytes(), &record) == nil {
			batch = append(batch, record)
		}
	}
	m.arrived <- batch
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(m.t, err)
	_, err = f.WriteString(text)
	require.NoError(m.t, err)
	require.NoError(m.t, f.Close())
}

// run starts the agent and returns what stops it and waits for its end.
func (m *machine) run() (stop func()) {
	ctx, cancel := context.WithCancel(m.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, m.environ) }()
	return func() {
		cancel()
		require.NoError(m.t, <-ended)
	}
}

// await waits until n records have arrived, and returns all that have.
func (m *machine) await(n int) []map[string]any {
	m.t.Helper()
	for len(m.all) < n {
		select {
		case batch := <-m.arrived:
			m.all = append(m.all, batch...)
		case <-m.t.Context().Done():
			m.t.Fatalf("%d of %d records have arrived: %v", len(m.all), n, messages(m.all))
		}
	}
	return m.all
}

// records returns what has arrived by now.
func (m *machine) records() []map[string]any {
	for {
		select {
		case batch := <-m.arrived:
			m.all = append(m.all, batch...)
		default:
			return m.all
		}
	}
}

func messages(all []map[string]any) (texts []string) {
	for _, r := range all {
		texts = append(texts, r["message"].(string))
	}
	slices.Sort(texts)
	return texts
}

func TestPodsAreCollectedThoughNoRuntimeAnswers(t *testing.T) {
	const dir = "/var/log/pods/shop_web-0_uid/app/"
	m := newMachine(t, "collect: [{name: r, match: {namespace: shop}, logs: {console: stdout}}, {name: h, host: true, logs: {syslog: /var/log/syslog}}]")
	m.write(dir+"0.log", "2026-01-02T03:04:05.5+08:00 stdout P one \n2026-01-02T03:04:06Z stderr F two\n2026-01-02T03:04:07Z stdout F and more\n")
	m.write("/var/log/pods/other_web-0_uid2/app/0.log", "2026-01-02T03:04:05Z stdout F of another\n")
	m.write("/var/log/syslog", "a line of the machine\n")
	stop := m.run()
	all := m.await(3)
	require.Equal(t, []string{"a line of the machine", "one and more", "two"}, messages(all))
	for _, r := range all {
		switch r["message"] {
		case "one and more":
			require.Equal(t, "2026-01-01T19:04:05.5Z", strings.Replace(r["@timestamp"].(string), "500000000", "5", 1))
			require.Equal(t, dir+"0.log", r["source"])
			require.EqualValues(t, 0, r["offset"])
			require.Equal(t, "stdout", r["stream"])
			require.Equal(t, "web-0", r["k8s_pod"])
			require.Equal(t, "shop", r["k8s_pod_namespace"])
			require.Equal(t, "app", r["k8s_container_name"])
		case "a line of the machine":
			require.Equal(t, "/var/log/syslog", r["source"])
			require.Equal(t, "node-1", r["host"])
		}
	}
	// The kubelet rotates, and a container is restarted.
	require.NoError(t, os.Rename(m.root+dir+"0.log", m.root+dir+"0.log.20260102-030405"))
	m.write(dir+"0.log.20260102-030405", "2026-01-02T03:04:08Z stdout F to the renamed file\n")
	m.write(dir+"0.log", "2026-01-02T03:04:09Z stdout F after rotation\n")
	m.write(dir+"1.log", "2026-01-02T03:04:10Z stdout F after a restart\n")
	require.Len(t, m.await(6), 6)
	stop()

	m.write(dir+"1.log", "2026-01-02T03:04:11Z stdout F while the agent was down\n")
	stop = m.run()
	require.Len(t, m.await(7), 7)
	stop()
	require.Contains(t, messages(m.all), "to the renamed file")
}

// A rule names an output of the file that the rule is in.
func TestRuleChoosesAnOutputOfAName(t *testing.T) {
	m := newMachine(t, "")
	require.NoError(t, os.WriteFile(m.environ["REMORA_CONFIG"], fmt.Appendf(nil, `
outputs:
  audit-store: {kind: http, HTTP_URL: %q}
collect:
- {name: audit, host: true, logs: {audit: {path: /var/log/audit.log, output: audit-store}}}
- {name: other, host: true, logs: {other: {path: /var/log/other.log, output: nowhere}}}
`, m.environ["HTTP_URL"]), 0o600))
	m.environ["LOGGING_OUTPUT"], m.environ["HTTP_URL"] = "audit-store,http", "http://127.0.0.1:1"
	m.write("/var/log/audit.log", "who\n")
	stop := m.run()
	require.Equal(t, []string{"who"}, messages(m.await(1)))
	stop()
}
