// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func open(t testing.TB, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	var c Config
	require.NoError(t, settings.Load(vars, &c))
	o, err := Open(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

func TestLabelSets(t *testing.T) {
	s := record.NewSource("k", "access", "/var/log/x", "web",
		[]record.Tag{{Key: "odd.key-1", Value: "a \"b\"\\\n"}, {Key: "empty", Value: ""}}, []record.Tag{{Key: "host", Value: "n\xff"}})
	for labels, want := range map[string]string{
		"target":                 `{target="web"}`,
		" host , target, target": `{host="n` + "\ufffd" + `", target="web"}`,
		"odd.key-1":              `{odd_key_1="a \"b\"\\\n"}`,
		"declaration,source":     `{declaration="access", source="/var/log/x"}`,
		"empty,nothing":          `{job="remora"}`,
	} {
		l := newLabels(strings.Split(labels, ","))
		require.Equal(t, want, string(l.appendSet(nil, s, record.NoStd)), labels)
	}
	l := newLabels([]string{"stream"})
	require.Equal(t, `x{stream="stderr"}`, string(l.appendSet([]byte("x"), s, record.Stderr)))
}

func TestStatuses(t *testing.T) {
	var status int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if _, err := s2.Decode(nil, body); err != nil || r.Header.Get("X-Scope-OrgID") != "me" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	o := open(t, "LOKI_URL", s.URL, "LOKI_TENANT", "me")
	small, big := sample.Batch(0, 1, sample.Source(1)), sample.Batch(0, 20_000, sample.Source(1))
	status = 204
	require.NoError(t, o.Write(t.Context(), big))
	status = 429
	require.ErrorAs(t, o.Write(t.Context(), small), new(*output.Throttled))
	require.ErrorAs(t, o.Write(t.Context(), big), new(*output.TooLarge), "it may be over the limit all by itself")
	status = 400
	require.ErrorAs(t, o.Write(t.Context(), small), new(*output.Refused))
	status = 401
	err := o.Write(context.Background(), small)
	require.NotErrorAs(t, err, new(*output.Refused))
	require.ErrorContains(t, err, "401")
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{"LOKI_URL": "", "LOKI_TIMEOUT": "0s"} {
		vars := map[string]string{"LOKI_URL": "http://h"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

func all(b *record.Batch) []int {
	index := make([]int, len(b.Records))
	for i := range index {
		index[i] = i
	}
	return index
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for i := range b.Records {
		b.Records[i].Fields = []byte(`"status":200,"path":"/x\"y"`)
	}
	e := newEncoder(newLabels([]string{"target", "host"}), true)
	dst := e.appendRequest(nil, b.Records, all(b))
	index := all(b)
	require.Zero(t, testing.AllocsPerRun(20, func() { dst = e.appendRequest(dst[:0], b.Records, index) }))
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e := newEncoder(newLabels([]string{"target", "host"}), true)
	var dst []byte
	index := all(batch)
	b.ReportAllocs()
	for b.Loop() {
		dst = e.appendRequest(dst[:0], batch.Records, index)
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
