// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/pipeline"
)

var update = flag.Bool("update", false, "write the table of docs/metrics.md")

const page = "../../docs/metrics.md"

// everything is a snapshot with all metrics there are.
func everything() *Snapshot {
	s := &Snapshot{Version: "v1", Outputs: []Output{{Name: "kafka"}}, Logs: []Log{{Container: "web", Declaration: "d", Output: "kafka"}}}
	for _, d := range Catalogue() {
		if strings.HasPrefix(d.Name, prefix) && (d.From != "" || d == &ParkedDisk || d == &ParkedLimit) {
			s.Metrics = append(s.Metrics, d.Metric(1))
		}
	}
	return s
}

// What is exported is in the catalogue, by its name or the one it had, and everything in the catalogue is exported.
func TestTheCatalogueIsComplete(t *testing.T) {
	var b bytes.Buffer
	everything().WriteMetrics(&b)
	exported := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(b.String(), -1) {
		require.NotContains(t, exported, m[1], "exported twice")
		exported[m[1]] = m[2]
	}
	for _, d := range Catalogue() {
		for _, name := range (walk{old: true}).names(d) {
			require.Equal(t, string(d.Kind), exported[name], name)
			delete(exported, name)
		}
		require.Regexp(t, `^[A-Z0-9].*\.$`, d.Help, d.Name)
	}
	require.Equal(t, map[string]string{"remora_problems": "gauge"}, exported)
}

func TestThePageListsEveryMetric(t *testing.T) {
	var table strings.Builder
	table.WriteString("| metric | type | labels | way in | meaning |\n|---|---|---|---|---|\n")
	for _, d := range Catalogue() {
		from := d.From
		if from == "" {
			from = "all"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), from, d.Help)
	}
	table.WriteString("\n## Old names\n\n| until the next release | use |\n|---|---|\n")
	for _, d := range Catalogue() {
		if d.Was != "" {
			fmt.Fprintf(&table, "| `%s` | `%s` |\n", d.Was, d.Name)
		}
	}
	fmt.Fprintf(&table, "| `remora_problems` | `%s` |\n", declarationProblems.Name)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const begin, end = "<!-- table: go test ./shared/telemetry -run ThePage -update -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + "\n" + table.String() + "\n" + end + after
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "run go test ./shared/telemetry -run ThePage -update")
}

// counts of a log that does not have a series of its own, as often as it is scraped.
func TestCountersOfOthersNeverFall(t *testing.T) {
	log := func(name string, records int64) Log {
		return Log{Container: name, Output: "o", Counts: pipeline.Counts{ReadRecords: records, ReadBytes: records, SentRecords: records - 1, QueuedRecords: 1}}
	}
	var own []Log
	for i := range maxSeries {
		own = append(own, log(fmt.Sprint("own", i), 1000))
	}
	e := new(Exposition)
	read := func(logs ...Log) (others, queued string) {
		var b bytes.Buffer
		e.Write(&b, &Snapshot{Logs: logs})
		require.LessOrEqual(t, strings.Count(b.String(), "\nremora_log_read_records_total{"), maxSeries+1)
		value := func(name string) string {
			m := regexp.MustCompile(name + `\{container="\(others\)".*\} (\S+)`).FindStringSubmatch(b.String())
			require.NotNil(t, m)
			return m[1]
		}
		return value("remora_log_read_records_total"), value("remora_log_queued_records")
	}
	check := func(records, gauge string, logs ...Log) {
		t.Helper()
		got, queued := read(logs...)
		require.Equal(t, records+" "+gauge, got+" "+queued)
	}
	check("30", "2", append(own, log("a", 10), log("b", 20))...)
	check("35", "2", append(own, log("a", 15), log("b", 20))...)
	check("5035", "2", append(own, log("a", 15), log("b", 5020))...) // it does not change places with a log that was read less
	check("5035", "1", append(own, log("a", 15))...)                 // a log that ends takes nothing away
	check("5037", "2", append(own, log("a", 15), log("b", 2))...)    // and begins anew when it comes back
	check("5037", "2", append(own[1:], log("a", 15), log("b", 2))...)
	check("5037", "0", own[1:]...)
}
