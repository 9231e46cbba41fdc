// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/pb"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func load(t testing.TB, environ ...string) Config {
	t.Helper()
	vars := map[string]string{}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	var c Config
	require.NoError(t, settings.Load(vars, &c))
	return c
}

func open(t testing.TB, environ ...string) *Output {
	t.Helper()
	o, err := Open(load(t, environ...))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

func TestEndpoints(t *testing.T) {
	for want, environ := range map[string][]string{
		"http://h:4318/v1/logs":               {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318"},
		"http://h/base/v1/logs":               {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://h/base/"},
		"http://h/as/it/stands":               {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://h/as/it/stands"},
		"https://h:4317" + logsSignal.service: {"OTEL_EXPORTER_OTLP_ENDPOINT", "h:4317", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
		"http://h:4317" + logsSignal.service:  {"OTEL_EXPORTER_OTLP_ENDPOINT", "h:4317", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_INSECURE", "true"},
	} {
		c := load(t, environ...)
		u, err := c.url()
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
}

func TestSettingsForLogsGoFirst(t *testing.T) {
	c := load(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://h", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
		"none", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "5", "OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c, d=e")
	require.EqualValues(t, "none", c.Codec)
	require.Equal(t, 5, c.Timeout)
	u, err := c.url()
	require.NoError(t, err)
	l, err := c.login(u)
	require.NoError(t, err)
	h, err := l.Header()
	require.NoError(t, err)
	require.Equal(t, http.Header{"A": {"b c"}, "D": {"e"}}, h)
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s",
		"OTEL_EXPORTER_OTLP_COMPRESSION": "rar",
	} {
		vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

// fields of a LogRecord: field to how often it occurs, and the body and attributes as text.
func parse(t *testing.T, p []byte) (fields map[int]int, body string, attributes map[string]string) {
	t.Helper()
	fields, attributes = map[int]int{}, map[string]string{}
	text := func(p []byte) (s string) {
		require.NoError(t, each(p, func(_ int, n uint64, text []byte) error {
			if s = string(text); text == nil {
				s = string(binary.AppendUvarint(nil, n))
			}
			return nil
		}))
		return s
	}
	require.NoError(t, each(p, func(field int, _ uint64, p []byte) error {
		fields[field]++
		switch field {
		case logBody:
			body = text(p)
		case logAttributes:
			var key string
			return each(p, func(field int, _ uint64, p []byte) error {
				if field == pairKey {
					key = string(p)
				} else {
					attributes[key] = text(p)
				}
				return nil
			})
		}
		return nil
	}))
	return fields, body, attributes
}

func encoded(t *testing.T, r record.Record) (map[int]int, string, map[string]string) {
	t.Helper()
	e := newEncoder()
	r.Source = sample.Source(1)
	p := e.appendRecord(nil, &r, e.source(r.Source), 1)
	var inner []byte
	require.NoError(t, each(p, func(_ int, _ uint64, body []byte) error { inner = body; return nil }))
	return parse(t, inner)
}

func TestWhatOpenTelemetryHasAPlaceFor(t *testing.T) {
	fields, body, attributes := encoded(t, record.Record{
		Fields: []byte(`"level":"Warn","msg":"hello","trace_id":"0102030405060708090a0b0c0d0e0f10","span_id":"0102030405060708","n":150,"ok":true,"none":null,"o":{"a":1}`),
	})
	require.Equal(t, 1, fields[logSeverityNumber])
	require.Equal(t, 1, fields[logTraceID])
	require.Equal(t, 1, fields[logSpanID])
	require.Equal(t, "hello", body)
	require.Equal(t, "\x96\x01", attributes["n"])
	require.Equal(t, "\x01", attributes["ok"])
	require.Equal(t, `{"a":1}`, attributes["o"])
	require.Equal(t, "blue", attributes["team"])
	require.NotContains(t, attributes, "none")
	require.NotContains(t, attributes, "level")
	require.NotEmpty(t, attributes["log.record.uid"])

	_, body, attributes = encoded(t, record.Record{Fields: []byte(`"trace_id":"short","level":"loud"`)})
	require.Equal(t, `{"trace_id":"short","level":"loud"}`, body)
	require.Equal(t, "short", attributes["trace_id"])
	require.Equal(t, "loud", attributes["level"])

	_, body, attributes = encoded(t, record.Record{Line: []byte("kept \xff"), Fields: []byte(`"msg":"hello"`)})
	require.Equal(t, "kept \ufffd", body)
	require.Equal(t, "hello", attributes["msg"])
}

// partialSuccess is an answer that rejects n records.
func partialSuccess(n int) []byte {
	dst, m := pb.Begin(nil, 1, 10)
	return pb.End(pb.String(pb.Uint(dst, 1, uint64(n)), 2, "too old"), m)
}

func TestPartialSuccess(t *testing.T) {
	var answer []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer) }))
	defer s.Close()
	o := open(t, "OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	b := sample.Batch(0, 5, sample.Source(1))
	for rejected, want := range map[int]int{0: 0, 2: 2, 99: 5} {
		answer = partialSuccess(rejected)
		err := o.Write(t.Context(), b)
		if want == 0 {
			require.NoError(t, err)
			continue
		}
		var partial *output.Partial
		require.ErrorAs(t, err, &partial)
		require.Len(t, partial.Refused, want)
		require.Empty(t, partial.Retry, "what was rejected must not be sent again")
		require.Contains(t, partial.Refused[0].Reason, "too old")
	}
	answer = []byte("<html>")
	require.ErrorContains(t, o.Write(t.Context(), b), "not one of OTLP")
}

func TestGRPC(t *testing.T) {
	var status, message string
	var answer []byte
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		size := binary.BigEndian.Uint32(body[1:])
		ok := r.ProtoMajor == 2 && r.URL.Path == logsSignal.service && r.Header.Get("Content-Type") == "application/grpc" &&
			r.Header.Get("Te") == "trailers" && int(size) == len(body)-5
		if ok && body[0] == 1 {
			z, err := gzip.NewReader(strings.NewReader(string(body[5:])))
			ok = err == nil && r.Header.Get("Grpc-Encoding") == "gzip"
			if ok {
				_, err = io.ReadAll(z)
				ok = err == nil
			}
		}
		if !ok {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(answer))), answer...))
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", message)
	})
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	b := sample.Batch(0, 3, sample.Source(1))
	for _, codec := range []string{"none", "gzip"} {
		o := open(t, "OTEL_EXPORTER_OTLP_ENDPOINT", s.URL, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION", codec)
		status, message, answer = "0", "", nil
		require.NoError(t, o.Write(t.Context(), b))
		answer = partialSuccess(1)
		require.ErrorAs(t, o.Write(t.Context(), b), new(*output.Partial))
		status, message, answer = "3", "bad%20record", nil
		err := o.Write(t.Context(), b)
		require.ErrorAs(t, err, new(*output.Refused))
		require.ErrorContains(t, err, "bad record")
		status, message = "8", "grpc: received message larger than max (5 vs. 4)"
		require.ErrorAs(t, o.Write(t.Context(), b), new(*output.TooLarge))
		status, message = "11", "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes" // tonic
		require.ErrorAs(t, o.Write(t.Context(), b), new(*output.TooLarge))
		status, message = "8", "gRPC message exceeds maximum size 4: 5" // grpc-java
		require.ErrorAs(t, o.Write(t.Context(), b), new(*output.TooLarge))
		status, message = "8", "quota"
		require.ErrorAs(t, o.Write(t.Context(), b), new(*output.Throttled))
		status, message = "14", "unavailable"
		err = o.Write(t.Context(), b)
		require.ErrorContains(t, err, "grpc-status 14")
		require.NotErrorAs(t, err, new(*output.Refused))
	}
}

// A server may compress its answer though nobody asked for it.
func TestCompressedAnswerOverGRPC(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(partialSuccess(2))
	require.NoError(t, z.Close())
	frame := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(zipped.Len())), zipped.Bytes()...)
	r := &web.Response{Header: http.Header{"Grpc-Encoding": {"gzip"}}}
	message, err := unframe(r, frame)
	require.NoError(t, err)
	require.Equal(t, partialSuccess(2), message)
	r.Header.Set("Grpc-Encoding", "snappy")
	_, err = unframe(r, frame)
	require.ErrorContains(t, err, "snappy")
	for _, bad := range [][]byte{frame[:4], frame[:9], append([]byte{0}, frame...)} {
		_, err = unframe(r, bad)
		require.Error(t, err)
	}
}

func FuzzReadPartial(f *testing.F) {
	f.Add(partialSuccess(3))
	f.Fuzz(func(t *testing.T, p []byte) { _, _, _ = readPartial(p) })
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for i := range b.Records {
		b.Records[i].Fields = []byte(`"status":200,"path":"/x\"y","level":"info"`)
	}
	e := newEncoder()
	dst := e.appendRequest(nil, b, 1)
	require.Zero(t, testing.AllocsPerRun(20, func() { dst = e.appendRequest(dst[:0], b, 1) }))
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e := newEncoder()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = e.appendRequest(dst[:0], batch, 1)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}

// A firewall that refuses a request with 200 and a page may do so for what one log holds.
func TestAPageIsNoSuccess(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("<html>The request was blocked. Support ID: 1</html>"))
	}))
	defer s.Close()
	err := open(t, "OTEL_EXPORTER_OTLP_ENDPOINT", s.URL, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf").Write(t.Context(), sample.Batch(0, 3, sample.Source(1)))
	require.ErrorAs(t, err, new(*web.Suspect))
}
