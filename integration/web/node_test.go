// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
	"github.com/remora-logs/remora/shared/web"
)

// node is a page about a machine with containers that are made up.
type node struct {
	url        string
	server     *telemetry.Server
	containers int
	begun      time.Time
	down       atomic.Bool // the output fails
	harmless   bool        // no name is hostile
}

// hostile is a name as an attacker would choose it.
const hostile = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'"&amp;` + "\u202e"

func serve(t *testing.T, containers int, access config.Listener) *node {
	t.Helper()
	n := &node{containers: containers, begun: time.Now()}
	rates := web.NewRates()
	for minute := range 60 {
		counts := map[telemetry.RowKey]int64{}
		for i := range min(containers, 2000) {
			r := n.row(i)
			if r.Counts.ReadRecords == 0 {
				continue
			}
			counts[r.Key()] = int64(float64(i%7) * 40 * (float64(minute) + 8*math.Sin(float64(minute+i)/6)))
		}
		rates.Add(counts)
	}
	page := web.New(web.Options{
		Take: func() telemetry.Snapshot { s, _ := n.status(); return s }, Full: n.status,
		Tails: &web.Tails{SetTap: func(pipeline.Tap) {}}, Rates: rates, Access: web.Access{Listener: access},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	n.url = "http://" + address + "/"
	if n.server, err = page.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.server.Close() })
	return n
}

// row is the row of a container; of every hundred a few fail.
func (n *node) row(i int) telemetry.Row {
	read := int64(i%7) * (100_000 + int64(time.Since(n.begun).Seconds()*float64(20*(i%50))))
	r := telemetry.Row{Container: fmt.Sprintf("shop/web-%d/nginx", i), Declaration: "access", Output: "kafka", Target: "access", State: telemetry.StateDone,
		Sources: []string{"/var/log/nginx/access.log"}, Files: 1, Streams: 1, Counts: pipeline.Counts{ReadRecords: read, SentRecords: read}}
	if i%7 > 0 {
		r.State = telemetry.StateSending
	}
	since := n.begun.Add(-3 * time.Minute)
	switch i % 100 {
	case 11:
		r.State, r.Reason, r.Since = telemetry.StateWaiting, "index access-2026.11: read-only", &since
		r.LagBytes, r.LagSeconds, r.Counts.QueuedRecords = 1<<20, 180, 4000
	case 23:
		r.Declaration, r.Sources, r.State, r.Counts = "audit", []string{"/audit/*.log"}, telemetry.StateNoMatch, pipeline.Counts{}
		r.Reason = "no file matches /audit/*.log"
	case 37:
		r.Output, r.State, r.Reason, r.Counts = "", telemetry.StateRefused, "aliyun.logs.access.format: unknown format jsno; did you mean json?", pipeline.Counts{}
	}
	if i == 3 && !n.harmless {
		r.Container, r.Declaration, r.Reason, r.Error, r.State = hostile, "a", hostile, hostile, telemetry.StateUnreadable
	}
	if n.down.Load() && r.Output == "kafka" && r.Counts.ReadRecords > 0 {
		r.State, r.Reason, r.Since = telemetry.StateFailing, "kafka-1:9092: connection refused", &since
	}
	r.Advice = telemetry.Advice(r.State)
	return r
}

func (n *node) status() (telemetry.Snapshot, []telemetry.Declaration) {
	s := telemetry.Snapshot{Schema: telemetry.Schema, Version: "1.0.0", Started: n.begun.Add(-50 * time.Hour), Now: time.Now(), Ready: true, Faults: []telemetry.Fault{},
		Outputs: []telemetry.Output{{Name: "kafka"}, {Name: "elasticsearch"}}, Problems: []telemetry.Problem{}}
	if n.down.Load() {
		s.Outputs[0].Error, s.Outputs[0].Since = "kafka-1:9092: connection refused", &n.begun
	}
	var declared []telemetry.Declaration
	for i := range n.containers {
		r := n.row(i)
		s.Rows = append(s.Rows, r)
		d := telemetry.Declaration{Container: r.Container, Name: r.Declaration, Sources: r.Sources, Target: r.Target, Format: "nginx", Where: "/ at /var/lib/containerd/overlay"}
		if r.State != telemetry.StateNoMatch {
			d.Found = []telemetry.File{{Declaration: r.Declaration, Path: r.Sources[0], Size: 123_456_789, Offset: 123_456_000, State: "reading"},
				{Declaration: r.Declaration, Path: r.Sources[0] + ".1", Size: 99_999_999, Offset: 99_999_999, State: "read"}}
		}
		declared = append(declared, d)
		if r.State == telemetry.StateRefused || r.Container == hostile {
			s.Problems = append(s.Problems, telemetry.Problem{Container: r.Container, Key: "aliyun.logs.access.format", Message: r.Reason})
		}
	}
	return s, declared
}
