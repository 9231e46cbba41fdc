// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// An answer to a viewer of 200 containers, who asks every two seconds.
func BenchmarkOverview(b *testing.B) {
	var logs []telemetry.Log
	for i := range 200 {
		logs = append(logs, telemetry.Log{Container: fmt.Sprintf("shop/web-%d/nginx", i), Declaration: "access", Output: "kafka", Source: "/var/log/nginx/access.log",
			Counts: pipeline.Counts{ReadRecords: 1e6, SentRecords: 1e6}})
	}
	page := testPage(Access{})
	page.options.Full = func() (telemetry.Snapshot, []telemetry.Declaration) {
		s := telemetry.Snapshot{Logs: logs}
		s.MakeRows(nil)
		return s, nil
	}
	b.ReportAllocs()
	for b.Loop() {
		page.overview(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/overview", nil))
	}
}

// What a viewer costs who sends: a batch of which no record is wanted, and one of which each is, but not shown.
func BenchmarkTap(b *testing.B) {
	for name, wanted := range map[string]Wanted{"others": {Container: "db"}, "mine": {Container: "web"}} {
		b.Run(name, func(b *testing.B) {
			var p tapped
			v, err := (&Tails{SetTap: p.set}).Open(wanted)
			if err != nil {
				b.Fatal(err)
			}
			batch := lines(source("web", "a"), 10_000, "a line as they are, of an ordinary length")
			b.ReportAllocs()
			for b.Loop() {
				p.tap("kafka", batch, all)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch)), "ns/record")
			v.Close()
		})
	}
}
