// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/shared/pipeline"
)

// Fields of ExportMetricsServiceRequest, ResourceMetrics, Resource, ScopeMetrics, InstrumentationScope, Metric, Gauge, Sum,
// Histogram, their data points, KeyValue and AnyValue (github.com/open-telemetry/opentelemetry-proto, 1.x).
const (
	requestResource                           = 1
	resourceResource, resourceScope           = 1, 2
	resourceAttributes                        = 1
	scopeScope, scopeMetrics                  = 1, 2
	scopeName, scopeVersion                   = 1, 2
	metricName, metricHelp, metricUnit        = 1, 2, 3
	metricGauge, metricSum, metricHistogram   = 5, 7, 9
	dataPoints, dataTemporality, dataMonotone = 1, 2, 3
	pointStart, pointTime, pointDouble        = 2, 3, 4
	pointAttributes                           = 7
	bucketsCount, bucketsSum, bucketsCounts   = 4, 5, 6
	bucketsBounds, bucketsAttributes          = 7, 9
	pairKey, pairValue, anyString             = 1, 2, 1

	cumulative = 2 // AggregationTemporality
)

// Attribute is an attribute of OpenTelemetry.
type Attribute struct{ Key, Value string }

// AppendOTLP appends s as an ExportMetricsServiceRequest of a resource. It uses only the new names, with dots and without
// _total: a Collector turns them into our Prometheus names again.
func (e *Exposition) AppendOTLP(dst []byte, s *Snapshot, resource []Attribute) []byte {
	o := &otlp{start: uint64(s.Started.UnixNano()), now: uint64(s.Now.UnixNano())}
	if s.Started.IsZero() || s.Now.IsZero() {
		o.start, o.now = 0, uint64(time.Now().UnixNano())
	}
	e.walk(s, walk{o, false})
	o.flush()
	scope := appendString(appendString(nil, scopeName, "remora"), scopeVersion, s.Version)
	scopes := append(appendMessage(nil, scopeScope, scope), o.metrics...)
	all := appendMessage(nil, resourceResource, appendAttributes(nil, resourceAttributes, resource))
	return appendMessage(dst, requestResource, appendMessage(all, resourceScope, scopes))
}

// otlp encodes metrics as protobuf.
type otlp struct {
	start, now uint64 // in nanoseconds since 1970
	metrics    []byte // finished, as fields of ScopeMetrics
	of         *Definition
	points     []byte // of the metric, as fields of its data
}

func (o *otlp) header(_ string, d *Definition) {
	o.flush()
	o.of = d
}

// flush finishes the metric. It leaves out a metric without data points.
func (o *otlp) flush() {
	if o.of == nil || len(o.points) == 0 {
		return
	}
	name, unit := otelName(o.of)
	m := appendString(appendString(appendString(nil, metricName, name), metricHelp, o.of.Help), metricUnit, unit)
	data, field := o.points, protowire.Number(metricGauge)
	switch o.of.Kind {
	case Counter:
		field = metricSum
		data = protowire.AppendVarint(protowire.AppendTag(data, dataTemporality, protowire.VarintType), cumulative)
		data = protowire.AppendVarint(protowire.AppendTag(data, dataMonotone, protowire.VarintType), 1)
	case Histogram:
		field = metricHistogram
		data = protowire.AppendVarint(protowire.AppendTag(data, dataTemporality, protowire.VarintType), cumulative)
	}
	o.metrics = appendMessage(o.metrics, scopeMetrics, appendMessage(m, field, data))
	o.points = o.points[:0]
}

func (o *otlp) times(p []byte) []byte {
	p = appendFixed(p, pointStart, o.start)
	return appendFixed(p, pointTime, o.now)
}

func (o *otlp) sample(_ string, d *Definition, value float64, labels ...string) {
	p := appendFixed(o.times(nil), pointDouble, math.Float64bits(max(0, value)))
	o.points = appendMessage(o.points, dataPoints, appendAttributes(p, pointAttributes, pairs(d.Labels, labels)))
}

func (o *otlp) histogram(d *Definition, of *pipeline.Delays, label string) {
	var count uint64
	var counts, bounds []byte
	for i, n := range of.Buckets {
		count += uint64(n)
		counts = protowire.AppendFixed64(counts, uint64(n))
		if i < len(pipeline.DelayBounds) {
			bounds = protowire.AppendFixed64(bounds, math.Float64bits(pipeline.DelayBounds[i]))
		}
	}
	p := appendFixed(o.times(nil), bucketsCount, count)
	p = appendFixed(p, bucketsSum, math.Float64bits(of.Seconds))
	p = appendMessage(appendMessage(p, bucketsCounts, counts), bucketsBounds, bounds)
	o.points = appendMessage(o.points, dataPoints, appendAttributes(p, bucketsAttributes, pairs(d.Labels, []string{label})))
}

// otelName returns the metric's name and unit under OpenTelemetry's conventions.
func otelName(d *Definition) (name, unit string) {
	name = strings.ReplaceAll(strings.TrimSuffix(d.Name, total), "_", ".")
	switch {
	case strings.HasSuffix(name, ".bytes"):
		unit = "By"
	case strings.HasSuffix(name, ".seconds"):
		unit = "s"
	case strings.HasSuffix(name, ".records"):
		unit = "{record}"
	}
	return name, unit
}

func pairs(keys, values []string) []Attribute {
	all := make([]Attribute, len(keys))
	for i, key := range keys {
		all[i] = Attribute{key, values[i]}
	}
	return all
}

func appendAttributes(p []byte, field protowire.Number, all []Attribute) []byte {
	for _, a := range all {
		value := appendString(nil, anyString, a.Value)
		p = appendMessage(p, field, appendMessage(appendString(nil, pairKey, a.Key), pairValue, value))
	}
	return p
}

func appendMessage(p []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(p, field, protowire.BytesType), message)
}

// appendString appends text. It replaces invalid UTF-8, which would invalidate the whole request.
func appendString(p []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(p, field, protowire.BytesType), strings.ToValidUTF8(text, "\ufffd"))
}

func appendFixed(p []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(p, field, protowire.Fixed64Type), value)
}
