// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// A sidecar with nothing to do is hardly there: ten files that have been delivered cost 15 MiB and 0.2 % of a core.
func TestIdle(t *testing.T) {
	const files, lines = 10, 100
	const settled, watched = 12 * time.Second, 4 * time.Second // the pages of the start are given back after 10 s
	backend := sink.New(t, sink.Healthy)
	p := newPod(t, backend.Settings()...)
	for i := range files {
		var text strings.Builder
		for n := range lines {
			fmt.Fprintf(&text, "f%d %d %s\n", i, n, strings.Repeat("x", 80))
		}
		p.put(t, fmt.Sprintf("%d.log", i), text.String())
	}
	s := p.start(t)
	log := verify.Open(backend.Path)
	for i := range files {
		log.Await(t, 10*time.Second, fmt.Sprintf("f%d", i), "", lines)
	}
	before := s.memory(t, "VmRSS")
	time.Sleep(settled)
	used := watched
	for range 3 { // the least of them, since what else the machine does can only add to it
		before := s.cpu(t)
		time.Sleep(watched)
		used = min(used, s.cpu(t)-before)
	}
	resident := s.memory(t, "VmRSS")
	share := 100 * used.Seconds() / watched.Seconds()
	t.Logf("idle with %d files: %.1f MiB (%.1f MiB after the start; %.1f MiB anonymous), %.2f %% of a core", files,
		mib(resident), mib(before), mib(s.memory(t, "RssAnon")), share)
	if resident > 15<<20 {
		t.Errorf("idle, it holds %.1f MiB: more than 15", mib(resident))
	}
	if share > 0.2 {
		t.Errorf("idle, it uses %.2f %% of a core: more than 0.2", share)
	}
	p.put(t, "0.log", "woken 0\n") // what was given back comes back
	log.Await(t, 5*time.Second, "woken", "", 1)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
