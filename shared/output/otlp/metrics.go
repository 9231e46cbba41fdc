// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/settings"
)

// MetricsConfig holds the settings for the export of Remora's own metrics: OpenTelemetry's standard variables. Those for all
// signals are in Config.
type MetricsConfig struct {
	Exporter   []string `env:"OTEL_METRICS_EXPORTER" envDefault:"none" doc:"Export Remora's own metrics: none, or otlp. The variables OTEL_EXPORTER_OTLP_… say where to"`
	Interval   int      `env:"OTEL_METRIC_EXPORT_INTERVAL" envDefault:"60000" doc:"Interval of that export in milliseconds"`
	Service    string   `env:"OTEL_SERVICE_NAME" envDefault:"remora" doc:"Attribute service.name of the exported metrics"`
	Attributes string   `env:"OTEL_RESOURCE_ATTRIBUTES" doc:"Further attributes of the exported metrics: key=value, percent-encoded, separated by commas"`

	Endpoint string          `env:"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" doc:"Address of the receiver for metrics, used as it is. Over HTTP, /v1/metrics is added to OTEL_EXPORTER_OTLP_ENDPOINT"`
	Protocol string          `env:"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL" doc:"Protocol for metrics: http/protobuf or grpc"`
	Headers  settings.Secret `env:"OTEL_EXPORTER_OTLP_METRICS_HEADERS" secret:"true" doc:"Headers for metrics as name=value, percent-encoded, separated by commas"`
	Codec    string          `env:"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION" doc:"Compression for metrics: none, gzip or zstd"`
	Timeout  int             `env:"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT" envDefault:"0" doc:"Timeout for metrics in milliseconds; 0 if not set"`
	CA       string          `env:"OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE" doc:"Certificate authorities to trust for metrics, PEM"`
	Cert     string          `env:"OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE" doc:"File with the client certificate for metrics, PEM"`
	Key      string          `env:"OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY" doc:"File with its key, PEM"`
}

// Check reports invalid values.
func (c *MetricsConfig) Check() error {
	var wrong []error
	for _, name := range c.Exporter {
		if !slices.Contains(exporters, name) {
			wrong = append(wrong, fmt.Errorf("OTEL_METRICS_EXPORTER is %q; it must be none or otlp", name))
		}
	}
	if c.Interval < 1000 {
		wrong = append(wrong, fmt.Errorf("OTEL_METRIC_EXPORT_INTERVAL is %d; it must be at least 1000 (milliseconds)", c.Interval))
	}
	return errors.Join(wrong...)
}

// exporters are the exporters that OpenTelemetry names. Remora ignores all but otlp: the variable may be meant for all
// containers of a Pod, and Prometheus metrics are served in any case.
var exporters = []string{"otlp", "prometheus", "console", "logging", "none"}

// Metrics exports metrics by OTLP.
type Metrics struct {
	Every   time.Duration
	Service string
	// Attributes are those of OTEL_RESOURCE_ATTRIBUTES, in pairs of key and value.
	Attributes [][2]string

	output *Output
}

const (
	forMetrics = "OTEL_EXPORTER_OTLP_METRICS_"
	forLogs    = "OTEL_EXPORTER_OTLP_LOGS_"
)

// OpenMetrics returns the exporter that the variables in environ configure; nil for none. It sends nothing to the server.
func OpenMetrics(environ map[string]string) (*Metrics, error) {
	var c MetricsConfig
	if err := settings.Load(environ, &c); err != nil || !slices.Contains(c.Exporter, "otlp") {
		return nil, err
	}
	general := Config{signal: metricsSignal}
	if err := settings.Load(asLogs(environ), &general); err != nil {
		return nil, fmt.Errorf("OTEL_METRICS_EXPORTER is otlp: %s", strings.ReplaceAll(err.Error(), forLogs, forMetrics))
	}
	o, err := Open(general)
	if err != nil {
		return nil, fmt.Errorf("OTEL_METRICS_EXPORTER is otlp: %s", strings.ReplaceAll(err.Error(), forLogs, forMetrics))
	}
	m := &Metrics{Every: time.Duration(c.Interval) * time.Millisecond, Service: c.Service, output: o}
	for pair := range strings.SplitSeq(c.Attributes, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			m.Attributes = append(m.Attributes, [2]string{decode(strings.TrimSpace(key)), decode(strings.TrimSpace(value))})
		}
	}
	return m, nil
}

// asLogs returns environ with the variables for metrics in place of those for logs, which Config reads. If no endpoint is set,
// it is OpenTelemetry's default.
func asLogs(environ map[string]string) map[string]string {
	all := maps.Clone(environ)
	maps.DeleteFunc(all, func(name, _ string) bool { return strings.HasPrefix(name, forLogs) })
	for name, value := range environ {
		if rest, ok := strings.CutPrefix(name, forMetrics); ok {
			all[forLogs+rest] = value
		}
	}
	if all["OTEL_EXPORTER_OTLP_ENDPOINT"] == "" && all[forLogs+"ENDPOINT"] == "" {
		all["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://localhost:4318"
		if cmp.Or(all[forLogs+"PROTOCOL"], all["OTEL_EXPORTER_OTLP_PROTOCOL"]) == "grpc" {
			all["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://localhost:4317"
		}
	}
	return all
}

// Send exports an ExportMetricsServiceRequest.
func (m *Metrics) Send(ctx context.Context, request []byte) error {
	o := m.output
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	buffer.Bytes = append(buffer.Bytes, request...)
	answer, end, err := o.client.Post(ctx, o.url, o.contentType(), buffer)
	defer end()
	if err != nil {
		return err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return answer.Verdict(http.StatusBadRequest)
	}
	message, err := io.ReadAll(io.LimitReader(answer.Body, maxMessage))
	if err != nil {
		return answer.Errorf("reading the answer: %w", err)
	}
	if o.grpc {
		if err := o.status(answer); err != nil {
			return err
		}
		if message, err = unframe(answer, message); err != nil {
			return answer.Errorf("the answer is not one of gRPC: %w", err)
		}
	}
	answer.Discard()
	if rejected, why, err := readPartial(message); err == nil && rejected > 0 { // the same fields as for logs
		return answer.Errorf("%d data points rejected: %s", rejected, why)
	}
	return nil
}

// Close closes the connections.
func (m *Metrics) Close() error { return m.output.Close() }
