// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"github.com/remora-logs/remora/shared/pipeline"
)

// maxSeries bounds the number of logs that have series of their own. The busiest have; the others are summed up under
// container="(others)", so that a node with thousands of short-lived containers does not flood its Prometheus.
const maxSeries = 500

// series is the sum of all logs with the same labels.
type series struct {
	container, declaration, output string
	counts                         pipeline.Counts
	lagBytes                       int64
	lagSeconds                     float64
}

// family is a metric with a value per series and a total for the process.
type family struct {
	name, help string // without prefix and suffix; the beginning of a sentence
	kind       Kind
	value      func(*pipeline.Counts) int64
}

// families are in the order in which they are written.
var families = []family{
	{"records_read", "Number of records to be delivered", Counter, func(c *pipeline.Counts) int64 { return c.ReadRecords }},
	{"bytes_read", "Number of bytes of records to be delivered", Counter, func(c *pipeline.Counts) int64 { return c.ReadBytes }},
	{"records_sent", "Number of records that the output acknowledged", Counter, func(c *pipeline.Counts) int64 { return c.SentRecords }},
	{"bytes_sent", "Number of bytes of records that the output acknowledged", Counter, func(c *pipeline.Counts) int64 { return c.SentBytes }},
	{"records_queued", "Number of records that were read and are not acknowledged", Gauge, func(c *pipeline.Counts) int64 { return c.QueuedRecords }},
	{"bytes_queued", "Number of bytes of records that were read and are not acknowledged", Gauge, func(c *pipeline.Counts) int64 { return c.QueuedBytes }},
	{"records_dropped", "Number of records lost before they were read", Counter, func(c *pipeline.Counts) int64 { return c.DroppedRecords }},
	{"bytes_dropped", "Number of bytes lost before they were read", Counter, func(c *pipeline.Counts) int64 { return c.DroppedBytes }},
	{"records_refused", "Number of records that the output refused for good", Counter, func(c *pipeline.Counts) int64 { return c.RefusedRecords }},
	{"bytes_refused", "Number of bytes of records that the output refused for good", Counter, func(c *pipeline.Counts) int64 { return c.RefusedBytes }},
	{"records_parked", "Number of records on disk that wait for their destination to accept them", Gauge, func(c *pipeline.Counts) int64 { return c.ParkedRecords }},
	{"bytes_parked", "Number of bytes of records on disk that wait for their destination to accept them", Gauge, func(c *pipeline.Counts) int64 { return c.ParkedBytes }},
}

// WriteMetrics writes the snapshot and the metrics of the Go process in Prometheus' text format.
func (s *Snapshot) WriteMetrics(w io.Writer) {
	all := s.series()
	for _, f := range families {
		name := header(w, f.name, f.kind, f.help+", per log.")
		for i := range all {
			metrics.WriteGaugeUint64(w, name+all[i].labels(), uint64(max(0, f.value(&all[i].counts))))
		}
		name = header(w, "node_"+f.name, f.kind, f.help+", of all logs.")
		metrics.WriteGaugeUint64(w, name, uint64(max(0, f.value(&s.Total))))
	}
	s.writeLogs(w, all)
	s.writeProcess(w)
	metrics.WriteProcessMetrics(w)
}

// writeLogs writes the other metrics of logs and outputs.
func (s *Snapshot) writeLogs(w io.Writer, all []series) {
	name := header(w, "lag_bytes", Gauge, "Number of bytes of the log that the output has not acknowledged.")
	for i := range all {
		metrics.WriteGaugeUint64(w, name+all[i].labels(), uint64(max(0, all[i].lagBytes)))
	}
	name = header(w, "lag_seconds", Gauge, "Age of the oldest unacknowledged data of the log in seconds, 0 if there is none.")
	for i := range all {
		metrics.WriteGaugeFloat64(w, name+all[i].labels(), all[i].lagSeconds)
	}
	for _, f := range []family{
		{"node_gaps", "Number of places at which records were lost before they were read.", Counter, func(c *pipeline.Counts) int64 { return c.Gaps }},
		{"node_records_filtered", "Number of records that declared filters dropped.", Counter, func(c *pipeline.Counts) int64 { return c.Filtered }},
		{"node_parse_errors", "Number of records that did not match their format and were sent whole.", Counter, func(c *pipeline.Counts) int64 { return c.ParseErrors }},
		{"node_bytes_skipped", "Number of bytes skipped as undecodable.", Counter, func(c *pipeline.Counts) int64 { return c.SkippedBytes }},
	} {
		metrics.WriteGaugeUint64(w, header(w, f.name, f.kind, f.help), uint64(max(0, f.value(&s.Total))))
	}
	name = header(w, "output_up", Gauge, "Whether the last write to the output succeeded.")
	for _, o := range s.Outputs {
		up := uint64(1)
		if o.Error != "" {
			up = 0
		}
		metrics.WriteGaugeUint64(w, name+labels("output", o.Name), up)
	}
	name = header(w, "output_conflicts", Counter, "Number of records that were stored with a field as text because its type did not fit.")
	for _, o := range s.Outputs {
		metrics.WriteCounterUint64(w, name+labels("output", o.Name), uint64(o.Conflicts))
	}
}

// writeProcess writes the metrics of the process.
func (s *Snapshot) writeProcess(w io.Writer) {
	metrics.WriteGaugeUint64(w, header(w, "logs", Gauge, "Number of logs being collected."), uint64(len(s.Logs)))
	metrics.WriteGaugeUint64(w, header(w, "problems", Gauge, "Number of errors and warnings about what containers declare."), uint64(len(s.Problems)))
	name := header(w, "faults", Gauge, "Number of things wrong with Remora itself, which its operator has to mend; per component.")
	counts := map[string]uint64{"checkpoints": 0, "settings": 0, "state": 0}
	for _, f := range s.Faults {
		counts[f.Component]++
	}
	for _, component := range slices.Sorted(maps.Keys(counts)) {
		metrics.WriteGaugeUint64(w, name+labels("component", component), counts[component])
	}
	for _, m := range s.Metrics {
		metrics.WriteGaugeFloat64(w, header(w, m.Name, m.Kind, m.Help), m.Value)
	}
	metrics.WriteGaugeUint64(w, header(w, "info", Gauge, "Version of this Remora.")+labels("version", s.Version), 1)
}

// series sums up logs that have the same labels, and those beyond maxSeries.
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
		for _, name := range slices.Sorted(maps.Keys(others)) {
			all = append(all, *others[name])
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

// labels formats names and values for Prometheus' text format. It replaces invalid UTF-8, which would invalidate the whole
// scrape.
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

// header writes the HELP and TYPE lines of a metric and returns its full name.
func header(w io.Writer, name string, kind Kind, help string) string {
	name = "remora_" + name
	if kind == Counter {
		name += "_total"
	}
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	return name
}
