// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
	"github.com/remora-logs/remora/shared/telemetry"
)

// ask gets a page from the plugin's own socket in its state directory.
func ask(t *testing.T, p *engine.Plugin, page string) (status int, body []byte) {
	t.Helper()
	socket := p.Inside(t, "/var/lib/remora/status.sock") // the path in the engine's data root is too long for a socket's
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Get("http://remora" + page)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

func snapshot(t *testing.T, p *engine.Plugin) telemetry.Snapshot {
	t.Helper()
	code, body := ask(t, p, "/status")
	var s telemetry.Snapshot
	if err := json.Unmarshal(body, &s); err != nil || code != http.StatusOK {
		t.Fatalf("/status: %d, %v: %.200s", code, err, body)
	}
	return s
}

// read = sent + queued + dropped + refused, whenever one looks: under load, while lines are being dropped, and after.
func TestAccountsBalance(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Healthy)
	p := e.NewPlugin(t, append(backend.Settings(), "REMORA_SPOOL_MAX_BYTES=16777216",
		"REMORA_SPOOL_MAX_BYTES_PER_CONTAINER=4194304")...)
	const lines = 60_000
	c := e.Run(t, p.Name, nil, "-name", "counted", "-lines", strconv.Itoa(lines), "-rate", "10000", "-size", "300")
	for i := range 80 {
		if i == 20 {
			backend.Be(t, sink.Down)
		}
		if i == 60 {
			backend.Be(t, sink.Healthy)
		}
		s := snapshot(t, p)
		balances(t, "in total", s.Total.ReadRecords, s.Total.SentRecords, s.Total.QueuedRecords, s.Total.DroppedRecords, s.Total.RefusedRecords)
		balances(t, "in bytes", s.Total.ReadBytes, s.Total.SentBytes, s.Total.QueuedBytes, s.Total.DroppedBytes, s.Total.RefusedBytes)
		for _, l := range s.Logs {
			n := l.Counts
			balances(t, "of "+l.Container, n.ReadRecords, n.SentRecords, n.QueuedRecords, n.DroppedRecords, n.RefusedRecords)
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.Wait(t)
	log := verify.Open(backend.Path)
	addsUp(t, log, "counted", lines, time.Minute)
	total := int64(lines + len(log.Others)) // gap markers are sent as well
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		n := snapshot(t, p).Total
		return n.ReadRecords == total && n.QueuedRecords == 0,
			fmt.Sprintf("%d of %d read, %d queued, %d sent, %d dropped", n.ReadRecords, total, n.QueuedRecords, n.SentRecords, n.DroppedRecords)
	})

	_, metrics := ask(t, p, "/metrics")
	for _, want := range []string{"remora_node_records_read_total " + strconv.FormatInt(total, 10), "remora_node_records_queued 0"} {
		if !strings.Contains(string(metrics), "\n"+want+"\n") {
			t.Errorf("/metrics has no line %q", want)
		}
	}
}

func balances(t *testing.T, of string, read, sent, queued, dropped, refused int64) {
	t.Helper()
	if read != sent+queued+dropped+refused {
		t.Errorf("%s: %d read, but %d sent, %d queued, %d dropped, %d refused", of, read, sent, queued, dropped, refused)
	}
}

func TestHealthAndStatus(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	c := e.Run(t, p.Name, nil, "-lines", "10", "-hold")
	for _, page := range []string{"/healthz", "/readyz"} {
		if code, body := ask(t, p, page); code != http.StatusOK {
			t.Errorf("%s: %d %s", page, code, body)
		}
	}
	// As an operator looks inside: the plugin's own binary, in its own file system.
	engine.Eventually(t, 10*time.Second, func() (bool, string) {
		out, err := exec.Command("nsenter", "--target", strconv.Itoa(p.PID(t)), "--mount", "/remora-driver", "status").CombinedOutput()
		if err != nil {
			t.Fatalf("remora-driver status: %v: %s", err, out)
		}
		return strings.Contains(string(out), c.Name(t)), string(out)
	})
}
