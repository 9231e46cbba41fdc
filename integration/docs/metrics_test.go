// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"testing"

	"github.com/remora-logs/remora/shared/telemetry"
)

// The pages name metrics that there are, by the names that stay.
func TestPagesNameMetricsThatExist(t *testing.T) {
	known := map[string]bool{}
	for _, d := range telemetry.Catalogue() {
		known[d.Name] = true
	}
	checked := 0
	for _, path := range []string{"docs/monitoring.md", "docs/operations.md", "docs/zh-CN/operations.md", "docs/buffering.md", "docs/troubleshooting.md"} {
		p := read(t, path)
		for _, name := range regexp.MustCompile(`\bremora_[a-z_]+[a-z]\b`).FindAllString(p.text, -1) {
			if name == "remora_node" || name == "remora_id" { // a family of names; a header of Kafka's
				continue
			}
			checked++
			if !known[name] {
				t.Errorf("%s names the metric %s, which there is not", path, name)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d names were found", checked)
	}
}
