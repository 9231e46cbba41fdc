// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/pipeline"
)

// WriteMetrics writes the snapshot and the metrics of the process in Prometheus' text format.
func (s *Snapshot) WriteMetrics(w io.Writer) { new(Exposition).Write(w, s) }

// Write writes s, the process's newest snapshot, and the metrics of the process in Prometheus' text format. The order is
// always the same.
func (e *Exposition) Write(w io.Writer, s *Snapshot) {
	t := text{bufio.NewWriterSize(w, 32<<10)}
	e.walk(s, walk{t, true})
	_ = t.w.Flush() // the client has gone away
}

// encoder encodes metrics in one format. header begins a metric; its samples follow.
type encoder interface {
	header(name string, d *Definition)
	sample(name string, d *Definition, value float64, labels ...string)
	histogram(d *Definition, of *pipeline.Delays, label string)
}

// walk passes all metrics to an encoder, also by their old names if old is true.
type walk struct {
	encoder
	old bool
}

// walk passes all metrics of s to t.
func (e *Exposition) walk(s *Snapshot, t walk) {
	all := e.series(s)
	for i := range counts {
		c := &counts[i]
		t.series(&c.log, all, func(of *series) float64 { return float64(c.value(&of.counts)) })
		t.write(&c.all, float64(c.value(&s.Total)))
	}
	t.series(&logLagBytes, all, func(of *series) float64 { return float64(of.lagBytes) })
	t.series(&logLagSeconds, all, func(of *series) float64 { return of.lagSeconds })
	t.write(&gaps, float64(s.Total.Gaps))
	t.write(&filteredRecords, float64(s.Total.Filtered))
	t.write(&unparsedRecords, float64(s.Total.ParseErrors))
	t.write(&skippedBytes, float64(s.Total.SkippedBytes))
	t.outputs(s)
	t.state(s)
	for i := range s.Metrics {
		t.way(&s.Metrics[i])
	}
	t.write(&buildInfo, 1, s.Version)
	t.runtime()
	t.process()
}

// text writes Prometheus' text format.
type text struct{ w *bufio.Writer }

// outputs writes the metrics of the outputs.
func (t walk) outputs(s *Snapshot) {
	lag := map[string]series{}
	for i := range s.Logs {
		l := &s.Logs[i]
		sum := lag[l.Output]
		sum.lagBytes += l.LagBytes
		sum.lagSeconds = max(sum.lagSeconds, l.LagSeconds)
		lag[l.Output] = sum
	}
	each := func(d *Definition, value func(*Output) float64) {
		t.header(d.Name, d)
		for i := range s.Outputs {
			t.sample(d.Name, d, value(&s.Outputs[i]), s.Outputs[i].Name)
		}
	}
	each(&outputUp, func(o *Output) float64 {
		if o.Error != "" {
			return 0
		}
		return 1
	})
	each(&outputLagBytes, func(o *Output) float64 { return float64(lag[o.Name].lagBytes) })
	each(&outputLagSeconds, func(o *Output) float64 { return lag[o.Name].lagSeconds })
	each(&outputConflicts, func(o *Output) float64 { return float64(o.Conflicts) })
	t.header(deliveryDelay.Name, &deliveryDelay)
	for i := range s.Outputs {
		t.histogram(&deliveryDelay, &s.Outputs[i].Delays, s.Outputs[i].Name)
	}
}

// histogram writes the cumulative buckets, the sum and the count.
func (t text) histogram(d *Definition, of *pipeline.Delays, label string) {
	var sum int64
	bucket := Definition{Labels: append(slices.Clone(d.Labels), "le")}
	for i, n := range of.Buckets {
		sum += n
		bound := "+Inf"
		if i < len(pipeline.DelayBounds) {
			bound = strconv.FormatFloat(pipeline.DelayBounds[i], 'f', -1, 64)
		}
		t.sample(d.Name+"_bucket", &bucket, float64(sum), label, bound)
	}
	t.sample(d.Name+"_sum", d, of.Seconds, label)
	t.sample(d.Name+"_count", d, float64(sum), label)
}

// state writes the logs, the problems and the faults.
func (t walk) state(s *Snapshot) {
	t.write(&logs, float64(len(s.Logs)))
	warnings := 0
	for i := range s.Problems {
		if s.Problems[i].Warning {
			warnings++
		}
	}
	t.header(declarationProblems.Name, &declarationProblems)
	t.sample(declarationProblems.Name, &declarationProblems, float64(len(s.Problems)-warnings), "error")
	t.sample(declarationProblems.Name, &declarationProblems, float64(warnings), "warning")
	if t.old {
		t.write(&problems, float64(len(s.Problems)))
	}
	by := map[string]float64{"checkpoints": 0, "settings": 0, "state": 0}
	for _, f := range s.Faults {
		by[f.Component]++
	}
	t.header(faults.Name, &faults)
	for _, component := range slices.Sorted(maps.Keys(by)) {
		t.sample(faults.Name, &faults, by[component], component)
	}
}

// way writes a metric of the way in.
func (t walk) way(m *Metric) {
	d := Definition{Name: prefix + m.Name, Kind: m.Kind, Help: m.Help}
	if m.Kind == Counter {
		d.Name += total
	}
	t.write(&d, m.Value)
}

// series writes a metric of each log, also by its old name.
func (t walk) series(d *Definition, all []series, value func(*series) float64) {
	for _, name := range t.names(d) {
		t.header(name, d)
		for i := range all {
			t.sample(name, d, value(&all[i]), all[i].container, all[i].declaration, all[i].output)
		}
	}
}

// write writes a metric with one value, also by its old name.
func (t walk) write(d *Definition, value float64, labels ...string) {
	for _, name := range t.names(d) {
		t.header(name, d)
		t.sample(name, d, value, labels...)
	}
}

func (t walk) names(d *Definition) []string {
	if d.Was == "" || !t.old {
		return []string{d.Name}
	}
	return []string{d.Name, d.Was}
}

// header writes the HELP and TYPE lines of a metric by one of its names.
func (t text) header(name string, d *Definition) {
	help := d.Help
	if name != d.Name {
		help = "Use " + d.Name + ": this name goes in the next release."
	}
	fmt.Fprintf(t.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, d.Kind)
}

// escapes escapes label values.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample writes a value with the values of d's labels. It replaces invalid UTF-8, which would invalidate the whole scrape.
func (t text) sample(name string, d *Definition, value float64, labels ...string) {
	t.w.WriteString(name)
	for i, label := range d.Labels {
		t.w.WriteByte("{,"[min(i, 1)])
		t.w.WriteString(label)
		t.w.WriteString(`="`)
		_, _ = escapes.WriteString(t.w, strings.ToValidUTF8(labels[i], "\ufffd"))
		t.w.WriteByte('"')
	}
	if len(d.Labels) > 0 {
		t.w.WriteByte('}')
	}
	t.w.WriteByte(' ')
	t.w.Write(appendValue(t.w.AvailableBuffer(), max(0, value)))
	t.w.WriteByte('\n')
}

// appendValue appends a number, without an exponent if it is whole.
func appendValue(p []byte, value float64) []byte {
	if value == float64(int64(value)) {
		return strconv.AppendInt(p, int64(value), 10)
	}
	return strconv.AppendFloat(p, value, 'g', -1, 64)
}
