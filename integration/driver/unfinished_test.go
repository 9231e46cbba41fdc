// SPDX-License-Identifier: Apache-2.0

//go:build long

package driver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// Three hundred containers that are each halfway through a line of 1 MiB cost the plugin no more than others, and the
// lines come whole.
func TestLongMemoryWithUnfinishedLines(t *testing.T) {
	const streams, pieces, size, limit = 300, 64, 16 << 10, 64 << 20
	e := engine.New(t)
	backend := sink.New(t, sink.Healthy)
	p := e.NewPlugin(t, append(backend.Settings(), "REMORA_PARTIAL_TIMEOUT=5m")...)
	wire := engine.NewWire(t, p)
	all := make([]*engine.Stream, streams)
	for i := range all {
		all[i] = wire.Start(t, fmt.Sprintf("%012x%052x", i+1, 0), nil)
	}
	var highest int64
	for piece := range pieces {
		for i, s := range all {
			text := strings.Repeat("x", size)
			if piece == 0 {
				head := fmt.Sprintf("s%03d 0 ", i)
				text = head + text[len(head):]
			}
			err := s.WriteFrames(framestest.Append(nil, framestest.Entry{Source: "stdout", TimeNano: time.Now().UnixNano(),
				Line: []byte(text), Partial: true, ID: s.ID, Ordinal: piece + 1, Last: piece == pieces-1}))
			if err != nil {
				t.Fatal(err)
			}
		}
		highest = max(highest, p.Memory(t))
		if piece == pieces-2 {
			engine.Eventually(t, time.Minute, func() (bool, string) {
				read := snapshot(t, p).Total.ReadBytes
				return read > streams*(pieces-1)*size, fmt.Sprintf("%d bytes of unfinished lines were read", read)
			})
			highest = max(highest, p.Memory(t))
			t.Logf("%d MiB with %d unfinished lines of %d KiB", highest>>20, streams, (pieces-1)*size>>10)
		}
	}
	log := verify.Open(backend.Path)
	whole := 0
	log.Each = func(t testing.TB, r *verify.Record) {
		if len(r.Line()) != pieces*size || r.Truncated {
			t.Errorf("a record of %d bytes, truncated: %v", len(r.Line()), r.Truncated)
		}
		whole++
	}
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		highest = max(highest, p.Memory(t))
		return whole == streams, fmt.Sprintf("%d of %d lines have arrived", whole, streams)
	})
	t.Logf("%d MiB at most", highest>>20)
	if highest > limit {
		t.Errorf("the plugin holds %d MiB", highest>>20)
	}
}
