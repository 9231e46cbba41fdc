// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// VictoriaLogs takes four of our protocols.
func TestVictoriaLogs(t *testing.T) {
	binary := build(t, "victorialogs", "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs")
	const fields = "?_msg_field=message&_time_field=%40timestamp&_stream_fields=source"
	for _, test := range []struct {
		name     string
		settings func(address string) []string
		source   string // the name under which the file's path arrives
		nested   document
	}{
		{"elasticsearch", func(a string) []string {
			return []string{"ELASTICSEARCH_HOSTS=http://" + a + "/insert/elasticsearch" + fields, "ELASTICSEARCH_COMPRESSION=gzip"}
		}, "source", document{"nested.a": "[1,2]"}},
		{"http", func(a string) []string {
			return []string{"HTTP_URL=http://" + a + "/insert/jsonline" + fields, "HTTP_COMPRESSION=zstd"}
		}, "source", document{"nested.a": "[1,2]"}},
		{"loki", func(a string) []string { return []string{"LOKI_URL=http://" + a + "/insert/loki/api/v1/push"} },
			"source", document{"nested.a": "[1,2]"}},
		{"otlp", func(a string) []string {
			return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + a + "/insert/opentelemetry", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip"}
		}, "log.file.path", document{"nested": `{"a":[1,2]}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := engine.FreePort(t)
			run(t, answers("http://"+address+"/health"), binary,
				"-storageDataPath="+t.TempDir(), "-httpListenAddr="+address, "-retentionPeriod=100y")
			f := write(t)
			begun := time.Now()
			sidecar(t, f, append(test.settings(address), "LOGGING_OUTPUT="+test.name)...)

			raw := read(t, address, "raw")
			rawAt, jsonAt := offsets(rawLine), offsets(jsonLine)
			compare(t, raw, rawNumber("_msg"), func(n int) document {
				d := document{"_msg": rawLine(n), "team": "blue", test.source: f.raw()}
				if test.source == "source" && test.name != "loki" {
					d["offset"] = strconv.Itoa(rawAt[n])
				}
				return d
			})
			for _, d := range raw {
				at, err := time.Parse(time.RFC3339Nano, d["_time"])
				if err != nil || at.Before(begun.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
					t.Fatalf("time %q, %v", d["_time"], err)
				}
			}
			compare(t, read(t, address, "parsed"), jsonNumber, func(n int) document {
				d := document{
					"n": strconv.Itoa(n), "status": strconv.Itoa(200 + n%300), "ok": strconv.FormatBool(n%2 == 0),
					"ratio": fmt.Sprintf("%d.5", n), "text": `a "b" ü`, "team": "red", test.source: f.json(),
				}
				for k, v := range test.nested {
					d[k] = v
				}
				if test.source == "source" && test.name != "loki" {
					d["offset"] = strconv.Itoa(jsonAt[n])
				}
				return d
			})
		})
	}
}

// read waits until VictoriaLogs has as many records of a kind as were written, and returns them.
func read(t *testing.T, address, kind string) (all []document) {
	t.Helper()
	engine.Eventually(t, time.Minute, func() (bool, string) {
		all = documents(t, get(t, "http://"+address+"/select/logsql/query",
			url.Values{"query": {"kind:=" + kind}, "start": {"2020-01-01T00:00:00Z"}}))
		return len(all) >= lines, fmt.Sprintf("%d of %d records", len(all), lines)
	})
	return all
}
