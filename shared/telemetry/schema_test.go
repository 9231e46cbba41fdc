// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// members are the JSON names of a struct's fields.
func members(of any) (all []string) {
	for f := range reflect.TypeOf(of).Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			all = append(all, name)
		}
	}
	return all
}

// What /status and status --output json print is promised: a member that goes, or means something else, needs another
// Schema, and one that is new a line in docs/monitoring.md, where programs' authors look.
func TestTheSchemaIsAsPromised(t *testing.T) {
	require.Equal(t, 1, Schema)
	promised := map[string][]string{
		"Snapshot": {"schema", "version", "started", "now", "ready", "stalled", "faults", "total", "outputs", "rows", "logs", "problems", "metrics"},
		"Row": {"container", "declaration", "output", "target", "sources", "state", "reason", "code", "since", "advice", "files", "streams", "counts",
			"lag_bytes", "lag_seconds", "error", "error_since"},
		"Problem": {"container", "key", "code", "message", "warning"},
		"Fault":   {"component", "code", "message", "since"},
		"Output":  {"name", "error", "since", "code", "conflicts"},
		"Metric":  {"name", "kind", "help", "value"},
	}
	page, err := os.ReadFile("../../docs/monitoring.md")
	require.NoError(t, err)
	_, text, _ := strings.Cut(string(page), "### The status as JSON")
	text, _, _ = strings.Cut(text, "\n### ")
	for name, of := range map[string]any{"Snapshot": Snapshot{}, "Row": Row{}, "Problem": Problem{}, "Fault": Fault{}, "Output": Output{}, "Metric": Metric{}} {
		require.Subset(t, members(of), promised[name], name)
		for _, member := range promised[name] {
			require.Contains(t, text, "`"+member+"`", name)
		}
	}
	for _, s := range States() {
		require.Contains(t, string(page), "| `"+string(s)+"` |")
	}
}
