// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"github.com/remora-logs/remora/shared/pipeline"
)

// maxSeries bounds how many containers and logs are told apart in metrics. The busiest are; the others are put together
// under container="(others)", so that a node with thousands of short-lived containers does not flood its Prometheus.
const maxSeries = 500

// series is what a set of labels counts.
type series struct {
	container, declaration, output string
	counts                         pipeline.Counts
	lagBytes                       int64
	lagSeconds                     float64
}

// families are the counters of each series: records and bytes each.
var families = []struct {
	name, help string
	records    func(*pipeline.Counts) int64
	bytes      func(*pipeline.Counts) int64
}{
	{"read", "to be delivered", func(c *pipeline.Counts) int64 { return c.ReadRecords }, func(c *pipeline.Counts) int64 { return c.ReadBytes }},
	{"sent", "acknowledged by the output", func(c *pipeline.Counts) int64 { return c.SentRecords }, func(c *pipeline.Counts) int64 { return c.SentBytes }},
	{"queued", "read and not yet acknowledged", func(c *pipeline.Counts) int64 { return c.QueuedRecords }, func(c *pipeline.Counts) int64 { return c.QueuedBytes }},
	{"dropped", "lost before they were read", func(c *pipeline.Counts) int64 { return c.DroppedRecords }, func(c *pipeline.Counts) int64 { return c.DroppedBytes }},
	{"refused", "refused by the output for good", func(c *pipeline.Counts) int64 { return c.RefusedRecords }, func(c *pipeline.Counts) int64 { return c.RefusedBytes }},
}

// WriteMetrics writes the snapshot in Prometheus' text format, and what the Go process uses.
func (s *Snapshot) WriteMetrics(w io.Writer) {
	all := s.series()
	for _, f := range families {
		kind, total := "counter", "_total"
		if f.name == "queued" {
			kind, total = "gauge", ""
		}
		for unit, of := range map[string]func(*pipeline.Counts) int64{"records": f.records, "bytes": f.bytes} {
			name := fmt.Sprintf("remora_%s_%s%s", unit, f.name, total)
			header(w, name, kind, strings.ToUpper(unit[:1])+unit[1:]+" "+f.help+", by log since it is collected")
			for i := range all {
				metrics.WriteGaugeUint64(w, name+all[i].labels(), uint64(max(0, of(&all[i].counts))))
			}
			node := fmt.Sprintf("remora_node_%s_%s%s", unit, f.name, total)
			header(w, node, kind, strings.ToUpper(unit[:1])+unit[1:]+" "+f.help+", of all logs since the start")
			metrics.WriteGaugeUint64(w, node, uint64(max(0, of(&s.Total))))
		}
	}
	s.writeRest(w, all)
	metrics.WriteProcessMetrics(w)
}

func (s *Snapshot) writeRest(w io.Writer, all []series) {
	header(w, "remora_lag_bytes", "gauge", "Bytes of the log that the output has not acknowledged")
	for i := range all {
		metrics.WriteGaugeUint64(w, "remora_lag_bytes"+all[i].labels(), uint64(max(0, all[i].lagBytes)))
	}
	header(w, "remora_lag_seconds", "gauge", "Seconds since the output had all of the log, 0 while it has")
	for i := range all {
		metrics.WriteGaugeFloat64(w, "remora_lag_seconds"+all[i].labels(), all[i].lagSeconds)
	}
	for _, c := range []struct {
		name, help string
		value      int64
	}{
		{"remora_node_gaps_total", "Places where records were lost before they were read", s.Total.Gaps},
		{"remora_node_records_filtered_total", "Records dropped by declared filters", s.Total.Filtered},
		{"remora_node_parse_errors_total", "Records that did not fit their format and were sent whole", s.Total.ParseErrors},
		{"remora_node_bytes_skipped_total", "Bytes that no record could be made of", s.Total.SkippedBytes},
	} {
		header(w, c.name, "counter", c.help)
		metrics.WriteGaugeUint64(w, c.name, uint64(max(0, c.value)))
	}
	header(w, "remora_output_up", "gauge", "1 while the output takes what it is sent")
	for _, o := range s.Outputs {
		up := uint64(1)
		if o.Error != "" {
			up = 0
		}
		metrics.WriteGaugeUint64(w, "remora_output_up"+labels("output", o.Name), up)
	}
	header(w, "remora_logs", "gauge", "Logs being collected")
	metrics.WriteGaugeUint64(w, "remora_logs", uint64(len(s.Logs)))
	header(w, "remora_problems", "gauge", "Declarations and options that could not be followed")
	metrics.WriteGaugeUint64(w, "remora_problems", uint64(len(s.Problems)))
	for _, g := range s.Gauges {
		header(w, "remora_"+g.Name, "gauge", g.Help)
		metrics.WriteGaugeFloat64(w, "remora_"+g.Name, g.Value)
	}
	header(w, "remora_info", "gauge", "Version of this Remora")
	metrics.WriteGaugeUint64(w, "remora_info"+labels("version", s.Version), 1)
}

// series puts the logs together that have the same labels, and those beyond the bound.
func (s *Snapshot) series() []series {
	index := map[[3]string]int{}
	var all []series
	for i := range s.Logs {
		l := &s.Logs[i]
		key := [3]string{l.Container, l.Declaration, l.Output}
		at, ok := index[key]
		if !ok {
			at = len(all)
			index[key] = at
			all = append(all, series{container: l.Container, declaration: l.Declaration, output: l.Output})
		}
		all[at].counts.Add(l.before)
		all[at].add(&l.Counts, l.LagBytes, l.LagSeconds)
	}
	slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(b.counts.ReadBytes, a.counts.ReadBytes) })
	if len(all) > maxSeries {
		others := map[string]*series{}
		for i := maxSeries; i < len(all); i++ {
			o := others[all[i].output]
			if o == nil {
				o = &series{container: "(others)", declaration: "(others)", output: all[i].output}
				others[all[i].output] = o
			}
			o.add(&all[i].counts, all[i].lagBytes, all[i].lagSeconds)
		}
		all = all[:maxSeries]
		for _, o := range others {
			all = append(all, *o)
		}
	}
	return all
}

func (s *series) add(c *pipeline.Counts, lagBytes int64, lagSeconds float64) {
	s.counts.Add(*c)
	s.lagBytes += lagBytes
	s.lagSeconds = max(s.lagSeconds, lagSeconds)
}

func (s *series) labels() string {
	return labels("container", s.container, "declaration", s.declaration, "output", s.output)
}

// labels writes names and values as Prometheus' text format wants them. Invalid UTF-8 in a container's name would make
// the whole scrape invalid.
func labels(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(pairs[i+1], "\ufffd"))
		fmt.Fprintf(&b, `%s="%s"`, pairs[i], value)
	}
	b.WriteByte('}')
	return b.String()
}

func header(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}
