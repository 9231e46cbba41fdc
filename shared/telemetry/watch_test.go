// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/pipeline"
)

func watched(now time.Time, read int64) *Snapshot {
	s := &Snapshot{Version: "v1", Started: time.Unix(1_700_000_000, 0), Now: now, Outputs: []Output{{Name: "kafka"}}}
	for i := range 3000 {
		s.Rows = append(s.Rows, Row{Container: fmt.Sprintf("c%04d", i), Declaration: "a", Output: "kafka", State: StateDone,
			Counts: pipeline.Counts{ReadRecords: read * int64(i)}})
	}
	s.Rows[7].State, s.Rows[7].Reason = StateRefused, "\x1b[2Jno such format"+strings.Repeat("!", 500)
	return s
}

func TestWatchedStatusFitsTheScreen(t *testing.T) {
	start := time.Unix(1_700_000_100, 0)
	s := watch{before: watched(start, 0), now: watched(start.Add(2*time.Second), 1)}
	lines := s.lines(100, 24)
	require.Len(t, lines, 23)
	for _, l := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(l), 100)
		require.NotContains(t, l, "\x1b")
	}
	require.Contains(t, lines[0], "3000 rows, 1 refused")
	require.Regexp(t, `^c0007 .*refused`, lines[5], "the worst comes first")
	require.True(t, s.press('s'))
	require.Regexp(t, `^c2999 .* 1500 `, s.lines(100, 24)[5], "the fastest comes first")
	for range 5000 {
		require.True(t, s.press('j'))
	}
	require.Contains(t, s.lines(100, 24)[5], "c0000")
	s.failed = errors.New("refused")
	require.Contains(t, s.lines(100, 24)[2], "no answer")
	require.NotEmpty(t, s.lines(1, 1))
	require.False(t, s.press('q'))
}

// After a restart of the process its counts begin anew.
func TestWatchedRatesSurviveARestart(t *testing.T) {
	start := time.Unix(1_700_000_100, 0)
	s := watch{before: watched(start, 9), now: watched(start.Add(2*time.Second), 1)}
	s.now.Started = start
	for _, r := range s.rows() {
		require.Zero(t, r.rate)
	}
}
