// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

var now = time.Unix(1_700_000_000, 0).UTC()

func snapshot() telemetry.Snapshot {
	since := now.Add(-time.Minute)
	counts := pipeline.Counts{ReadRecords: 10, ReadBytes: 100, SentRecords: 5, SentBytes: 50, QueuedRecords: 2,
		QueuedBytes: 20, DroppedRecords: 2, DroppedBytes: 20, RefusedRecords: 1, RefusedBytes: 10}
	return telemetry.Snapshot{
		Version: "v1", Started: now.Add(-time.Hour), Now: now, Ready: true, Total: counts,
		Outputs: []telemetry.Output{{Name: "kafka", Error: "connection refused", Since: &since}, {Name: "file"}},
		Logs: []telemetry.Log{{Container: "we\"b\n\xff", Stream: "s1", Source: "stdout", Declaration: "d", Output: "kafka",
			Counts: counts, LagBytes: 20480, LagSeconds: 1.5, Error: "boom", ErrorSince: &since,
			Lifetime: telemetry.Lifetime{Gaps: 3, DroppedRecords: 9, RefusedRecords: 1}},
			{Container: "we\"b\n\xff", Stream: "s2", Source: "stdout", Declaration: "d", Output: "kafka", Counts: counts}},
		Problems: []telemetry.Problem{{Container: "web", Key: "aliyun.logs.b", Message: "not absolute"}},
		Metrics: []telemetry.Metric{{Name: "spool_bytes", Kind: telemetry.Gauge, Help: "Bytes in the spool.", Value: 7},
			{Name: "files_rotated", Kind: telemetry.Counter, Help: "Number of rotations.", Value: 2}},
	}
}

func serve(t *testing.T, take func() telemetry.Snapshot) (network, address string) {
	address = filepath.Join(t.TempDir(), "s.sock")
	s, err := telemetry.Listen("unix", address, &http.Server{Handler: telemetry.Handler(take, take)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return "unix", address
}

func get(t *testing.T, address, path string) (int, string) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", address)
		}}}
	resp, err := c.Get("http://remora" + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestServes(t *testing.T) {
	ready := false
	_, address := serve(t, func() telemetry.Snapshot { s := snapshot(); s.Ready = ready; return s })
	code, body := get(t, address, "/healthz")
	require.Equal(t, 200, code)
	require.Equal(t, "ok\n", body)
	code, _ = get(t, address, "/readyz")
	require.Equal(t, 503, code)
	ready = true
	code, body = get(t, address, "/readyz")
	require.Equal(t, 200, code, "a backend that is down does not take a Pod out of service")
	require.Contains(t, body, "connection refused")
	code, body = get(t, address, "/status")
	require.Equal(t, 200, code)
	var s telemetry.Snapshot
	require.NoError(t, json.Unmarshal([]byte(body), &s))
	require.Equal(t, snapshot().Total, s.Total)
	code, _ = get(t, address, "/debug/pprof/")
	require.Equal(t, 404, code)
}

// line is what Prometheus' text format allows, near enough: a name, labels whose values are quoted, and a number.
var line = regexp.MustCompile(`^[a-z_:][a-z0-9_:]*(\{[a-zA-Z_]+="([^"\\\n]|\\["\\n])*"(, ?[a-zA-Z_]+="([^"\\\n]|\\["\\n])*")*\})? [0-9.e+-]+$`)

func TestMetrics(t *testing.T) {
	_, address := serve(t, snapshot)
	_, body := get(t, address, "/metrics")
	for l := range strings.SplitSeq(strings.TrimSpace(body), "\n") {
		if !strings.HasPrefix(l, "#") {
			require.Regexp(t, line, l)
		}
	}
	require.Contains(t, body, `remora_records_sent_total{container="we\"b\n`+"\ufffd"+`",declaration="d",output="kafka"} 10`)
	require.Contains(t, body, "remora_node_records_read_total 10\n")
	require.Contains(t, body, `remora_output_up{output="kafka"} 0`)
	require.Contains(t, body, "remora_spool_bytes 7\n")
	require.NotContains(t, body, "container=\"we\"b")
}

func TestCardinalityIsBounded(t *testing.T) {
	s := telemetry.Snapshot{}
	for i := range 2000 {
		s.Logs = append(s.Logs, telemetry.Log{Container: fmt.Sprint("c", i), Output: "o",
			Counts: pipeline.Counts{ReadRecords: 1, ReadBytes: int64(i)}})
	}
	var b bytes.Buffer
	s.WriteMetrics(&b)
	require.Equal(t, 501, strings.Count(b.String(), "\nremora_records_read_total{"))
	require.Contains(t, b.String(), `remora_records_read_total{container="(others)",declaration="(others)",output="o"} 1500`)
	require.Contains(t, b.String(), `container="c1999"`)
}

func TestCommand(t *testing.T) {
	network, address := serve(t, snapshot)
	var b bytes.Buffer
	require.NoError(t, new(telemetry.Command).Run(t.Context(), &b, telemetry.Address{Network: network, Address: address}))
	for _, part := range []string{"failing for 1m0s: connection refused", "takes records", "boom (1m0s ago)", "2 (ever 9)", "20 KiB", "not absolute",
		"Bytes in the spool"} {
		require.Contains(t, b.String(), part)
	}
	b.Reset()
	require.NoError(t, (&telemetry.Command{JSON: true}).Run(t.Context(), &b, telemetry.Address{Network: network, Address: address}))
	require.True(t, json.Valid(b.Bytes()))
	err := new(telemetry.Command).Run(t.Context(), &b, telemetry.Address{Network: "unix", Address: "/nowhere/s.sock"})
	require.ErrorContains(t, err, "/nowhere/s.sock")
}

func TestASocketThatADeadProcessLeftIsReplaced(t *testing.T) {
	address := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	s, err := telemetry.Listen("unix", address, &http.Server{Handler: telemetry.Handler(snapshot, snapshot)})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestASocketWhosePathIsTooLong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	require.NoError(t, os.Mkdir(dir, 0o700))
	address := filepath.Join(dir, "status.sock")
	for range 2 { // the second takes the place of what the first leaves
		s, err := telemetry.Listen("unix", address, &http.Server{Handler: telemetry.Handler(snapshot, snapshot)})
		require.NoError(t, err)
		var b bytes.Buffer
		require.NoError(t, new(telemetry.Command).Run(t.Context(), &b, telemetry.Address{Network: "unix", Address: address}))
		require.Contains(t, b.String(), "remora v1")
		require.NoError(t, s.Close())
	}
}

func TestMetricsAreTypedAndInOneOrder(t *testing.T) {
	s := snapshot()
	var first bytes.Buffer
	s.WriteMetrics(&first)
	own, _, _ := strings.Cut(first.String(), "\ngo_")
	for range 20 {
		var again bytes.Buffer
		s.WriteMetrics(&again)
		got, _, _ := strings.Cut(again.String(), "\ngo_")
		require.Equal(t, own, got)
	}
	kinds := regexp.MustCompile(`(?m)^# TYPE (remora_\S+) (\S+)$`).FindAllStringSubmatch(first.String(), -1)
	require.Greater(t, len(kinds), 25)
	for _, k := range kinds {
		require.Equal(t, k[2] == "counter", strings.HasSuffix(k[1], "_total"), "%s is a %s", k[1], k[2])
	}
	for _, help := range regexp.MustCompile(`(?m)^# HELP remora_\S+ (.*)$`).FindAllStringSubmatch(first.String(), -1) {
		require.Regexp(t, `^[A-Z].*\.$`, help[1])
	}
	require.Contains(t, own, "# TYPE remora_files_rotated_total counter\nremora_files_rotated_total 2\n")
}

func TestFaultsAreShownEverywhere(t *testing.T) {
	since := now.Add(-5 * time.Minute)
	_, address := serve(t, func() telemetry.Snapshot {
		s := snapshot()
		s.Faults = []telemetry.Fault{{Component: "checkpoints", Message: "no space\nok", Since: &since}}
		return s
	})
	code, body := get(t, address, "/readyz")
	require.Equal(t, 503, code)
	require.Contains(t, body, `checkpoints: no space\nok`)
	_, body = get(t, address, "/metrics")
	require.Contains(t, body, `remora_faults{component="checkpoints"} 1`)
	require.Contains(t, body, `remora_faults{component="settings"} 0`)
	var b bytes.Buffer
	require.NoError(t, new(telemetry.Command).Run(t.Context(), &b, telemetry.Address{Network: "unix", Address: address}))
	require.Contains(t, b.String(), `checkpoints  for 5m0s: no space\nok`)
}

// What others wrote can neither act on a terminal nor forge a row.
func TestStatusEscapesWhatOthersWrote(t *testing.T) {
	const evil = "\x1b[2J\u009b1m\u202e\nweb\tstdout"
	_, address := serve(t, func() telemetry.Snapshot {
		s := snapshot()
		s.Logs = []telemetry.Log{{Container: evil, Stream: evil, Source: evil, Declaration: evil, Output: "kafka", Error: evil}}
		s.Outputs[0].Error = evil
		s.Problems = []telemetry.Problem{{Container: evil, Key: evil, Message: evil}}
		return s
	})
	for _, json := range []bool{false, true} {
		var b bytes.Buffer
		require.NoError(t, (&telemetry.Command{JSON: json}).Run(t.Context(), &b, telemetry.Address{Network: "unix", Address: address}))
		for _, r := range b.String() {
			require.True(t, r == '\n' || strconv.IsPrint(r), "%q", b.String())
		}
		require.NotContains(t, b.String(), "\nweb")
	}
	_, body := get(t, address, "/readyz")
	require.NotContains(t, body, "\x1b")
	require.NotContains(t, body, "\nweb")
}

func TestWhyNobodyAnswers(t *testing.T) {
	stale := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	_, live := serve(t, snapshot)
	var b bytes.Buffer
	none := telemetry.Address{Network: "unix", Address: "/nowhere/s.sock"}
	err = new(telemetry.Command).Run(t.Context(), &b, none, telemetry.Address{Network: "unix", Address: stale})
	require.ErrorContains(t, err, "unix /nowhere/s.sock: there is no such socket")
	require.ErrorContains(t, err, "unix "+stale+": nobody listens there: the process that made it has ended")
	require.NoError(t, new(telemetry.Command).Run(t.Context(), &b, none, telemetry.Address{Network: "unix", Address: live}))
	require.Contains(t, b.String(), "remora v1")
}
