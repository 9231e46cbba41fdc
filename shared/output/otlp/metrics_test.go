// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMetricsGoWhereTheyAreToGo(t *testing.T) {
	var got []string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a body that breaks off differs
		got = append(got, r.URL.Path+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("X-Team")+" "+string(body))
		w.WriteHeader(status)
	}))
	defer server.Close()
	m, err := OpenMetrics(map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": server.URL + "/x",
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://elsewhere", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-team=logs",
		"OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-team=a%20b", "OTEL_METRIC_EXPORT_INTERVAL": "5000",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=pro%20d, broken,k8s.cluster=c"})
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, 5*time.Second, m.Every)
	require.Equal(t, [][2]string{{"deployment.environment", "pro d"}, {"k8s.cluster", "c"}}, m.Attributes)
	require.NoError(t, m.Send(t.Context(), []byte("request")))
	require.Equal(t, []string{"/x/v1/metrics application/x-protobuf a b request"}, got)
	status = http.StatusForbidden
	require.ErrorContains(t, m.Send(t.Context(), nil), "403")
}

func TestWhereMetricsGo(t *testing.T) {
	for want, environ := range map[string]map[string]string{
		"http://localhost:4318/v1/metrics":              {},
		"http://localhost:4317" + metricsSignal.service: {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		"http://a/v1/metrics":                           {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"},
		"http://b/own":                                  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b/own"},
		"https://a:4317" + metricsSignal.service: {"OTEL_EXPORTER_OTLP_ENDPOINT": "a:4317", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"},
	} {
		environ["OTEL_METRICS_EXPORTER"] = "otlp"
		m, err := OpenMetrics(environ)
		require.NoError(t, err)
		require.Equal(t, want, m.output.url.String())
		require.NoError(t, m.Close())
	}
	for wrong, environ := range map[string]map[string]string{
		`OTEL_METRICS_EXPORTER is "graphite"; it must be none or otlp`: {"OTEL_METRICS_EXPORTER": "otlp,graphite"},
		"OTEL_METRIC_EXPORT_INTERVAL is 10; it must be at least 1000":  {"OTEL_METRIC_EXPORT_INTERVAL": "10"},
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT":                          {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "ftp://x"},
	} {
		_, err := OpenMetrics(environ)
		require.ErrorContains(t, err, wrong)
	}
	m, err := OpenMetrics(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"})
	require.NoError(t, err)
	require.Nil(t, m, "none by default")
	m, err = OpenMetrics(map[string]string{"OTEL_METRICS_EXPORTER": "prometheus"})
	require.NoError(t, err, "what is meant for the Pod's other containers is no fault")
	require.Nil(t, m)
}

func TestMetricsOverGRPC(t *testing.T) {
	var got, status string
	var answer []byte
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a body that breaks off differs
		got = r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(body)
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(answer))), answer...)) // the client may be gone
		w.Header().Set("Grpc-Status", status)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	m, err := OpenMetrics(map[string]string{"OTEL_METRICS_EXPORTER": "otlp,prometheus", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": s.URL,
		"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
	require.NoError(t, err)
	defer m.Close()
	status = "0"
	require.NoError(t, m.Send(t.Context(), []byte("request")))
	require.Equal(t, metricsSignal.service+" application/grpc \x00\x00\x00\x00\x07request", got)
	answer = partialSuccess(2)
	require.ErrorContains(t, m.Send(t.Context(), nil), "2 data points rejected")
	answer, status = nil, "14"
	require.ErrorContains(t, m.Send(t.Context(), nil), "grpc-status 14")
}
