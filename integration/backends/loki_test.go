// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// Loki itself, on its defaults but for where it keeps things.
func TestLoki(t *testing.T) {
	binary := build(t, "loki", "github.com/grafana/loki/v3/cmd/loki")
	address, grpc, dir := engine.FreePort(t), engine.FreePort(t), t.TempDir()
	run(t, answers("http://"+address+"/ready"), binary, "-config.file="+lokiConfig(t, dir, address, grpc))
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=loki", "LOKI_URL=http://"+address, "LOKI_TENANT=someone", "LOKI_LABELS=target,team")

	compare(t, query(t, address, `{team="blue",target="raw"}`), rawNumber("line"), func(n int) document {
		return document{"line": rawLine(n), "team": "blue", "kind": "raw", "target": "raw", "source": f.raw()}
	})
	compare(t, query(t, address, `{team="red",target="parsed"} | json`), jsonNumber, func(n int) document {
		return document{
			"line": jsonLine(n), "status": strconv.Itoa(200 + n%300), "text": `a "b" ü`, "kind": "parsed", "source": f.json(),
		}
	})
}

func lokiConfig(t *testing.T, dir, address, grpc string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	_, grpcPort, _ := net.SplitHostPort(grpc)
	path := filepath.Join(dir, "loki.yaml")
	text := fmt.Sprintf(`
auth_enabled: true
server: {http_listen_address: 127.0.0.1, http_listen_port: %s, grpc_listen_address: 127.0.0.1, grpc_listen_port: %s, log_level: error}
common:
  instance_addr: 127.0.0.1
  path_prefix: %s
  replication_factor: 1
  ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: %s/chunks, rules_directory: %s/rules}}
schema_config:
  configs: [{from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
analytics: {reporting_enabled: false}
ingester: {lifecycler: {min_ready_duration: 0s}}
`, port, grpcPort, dir, dir, dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// query waits until Loki has as many entries as were written, and returns them with labels and metadata.
func query(t *testing.T, address, logQL string) (all []document) {
	t.Helper()
	engine.Eventually(t, 2*time.Minute, func() (bool, string) {
		all = nil
		var answer struct {
			Data struct {
				Result []struct {
					Stream map[string]string
					Values [][2]string
				}
			}
		}
		body := tenant(t, "http://"+address+"/loki/api/v1/query_range", url.Values{
			"query": {logQL}, "limit": {"5000"}, "since": {"1h"},
		})
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%v: %.500s", err, body)
		}
		for _, s := range answer.Data.Result {
			for _, v := range s.Values {
				d := document{"line": v[1]}
				for k, label := range s.Stream {
					d[k] = label
				}
				all = append(all, d)
			}
		}
		return len(all) >= lines, fmt.Sprintf("%d of %d entries", len(all), lines)
	})
	return all
}
