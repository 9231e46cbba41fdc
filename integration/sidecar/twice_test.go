// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// The http output can't recognise a record again. After a kill it gets what was in flight twice, and no more: of one file two
// batches at most, one that is sent and one that is filled.
func resends(t *testing.T, kills, lines int) {
	const inFlight, batch = 2, 2500
	backend := sink.New(t, sink.Healthy)
	p := newPod(t, append(backend.Settings(), "REMORA_BATCH_RECORDS="+strconv.Itoa(batch))...)
	running := p.start(t)
	p.writer(t, "app.log", "resent", lines, 50_000, 0)
	for range kills {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // at any moment
		running.kill()
		running = p.start(t)
	}
	n := verify.Open(backend.Path).Await(t, time.Minute, "resent", "", lines)
	t.Logf("%d kills, %d of %d lines twice", kills, n.Twice, lines)
	if n.Twice > kills*inFlight*batch {
		t.Errorf("%d lines came twice after %d kills, want at most %d batches of %d a kill", n.Twice, kills, inFlight, batch)
	}
}

func TestAKillResendsOnlyWhatWasInFlight(t *testing.T) { resends(t, 10, 100_000) }
