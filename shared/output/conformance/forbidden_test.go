// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// evilKey is the stream whose destination takes nothing.
const evilKey = "stream-2"

func isEvil(e entry) bool { return e.stream == evilKey }

// TestForbiddenDestinationHoldsBackItselfAlone has a server take nothing for one destination (a topic, an index, a key, or
// where there is but one, the records of one stream) for a while: the others get all of theirs meanwhile.
func TestForbiddenDestinationHoldsBackItselfAlone(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			streams := []*lines{{key: "stream-1"}, {key: evilKey, evil: true}, {key: "stream-3"}}
			s := newServer(t, newLedger(t, streams))
			p.start(s)
			s.open()
			s.behave(forbidden)
			rig := newRig(t, p.name, p.environ(s.address, "", "10000"), streams)
			for _, l := range streams {
				l.count.Store(1000)
			}
			innocent := []*lines{streams[0], streams[2]}
			others := func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.ledger.missing(innocent) == 0
			}
			rig.until(others)
			for _, l := range innocent { // and what comes later
				l.count.Add(1000)
			}
			rig.until(others)
			s.mu.Lock()
			require.Empty(t, s.ledger.seen[evilKey])
			s.mu.Unlock()

			s.behave(healthy)
			for _, l := range streams {
				l.ended.Store(true)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if !rig.Drain(ctx) {
				t.Fatalf("%d missing\n%s", s.missing(streams), rig.log)
			}
			rig.stop()
			rig.until(func() bool { return s.missing(streams) == 0 }) // where nothing is acknowledged, some are on their way
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.ledger.shuffled {
				require.Zero(t, s.ledger.outOfOrder)
			}
			require.Zero(t, rig.deadLetters())
		})
	}
}
