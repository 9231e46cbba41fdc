// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/remora-logs/remora/shared/telemetry"
)

// ofTheDriver are metrics that only a way in with a spool adds to those that all have.
var ofTheDriver = []string{"remora_spool_bytes", "remora_spool_max_bytes", "remora_spool_evicted_streams_total",
	"remora_spool_evicted_records_total"}

// The pages name metrics that there are.
func TestPagesNameMetricsThatExist(t *testing.T) {
	var s telemetry.Snapshot
	recorder := httptest.NewRecorder()
	s.WriteMetrics(recorder)
	answer := recorder.Result()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	known := string(text) + "# TYPE " + strings.Join(ofTheDriver, " gauge\n# TYPE ") + " gauge\n"
	checked := 0
	for _, path := range []string{"docs/monitoring.md", "docs/operations.md", "docs/zh-CN/operations.md", "docs/buffering.md", "docs/troubleshooting.md"} {
		p := read(t, path)
		for _, name := range regexp.MustCompile(`\bremora_[a-z_]+[a-z]\b`).FindAllString(p.text, -1) {
			if name == "remora_node" || name == "remora_id" { // a family of names; a header of Kafka's
				continue
			}
			checked++
			if !strings.Contains(known, "# TYPE "+name+" ") {
				t.Errorf("%s names the metric %s, which there is not", path, name)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d names were found", checked)
	}
}
