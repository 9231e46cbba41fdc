// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/record"
)

// Records have the names of their schema here too, and log-pilot's shape: its users search for log.
func TestNamesAndShapeOfRecords(t *testing.T) {
	s, address := start(t, func(string, []log) (int, string, string) { return 0, "", "" })
	renamed := sample.Source(1).Renamed(func(member string) string {
		if other := map[string]string{"host": "host.name", "offset": "log.offset", "source": "log.file.path", "stream": "log.iostream"}[member]; other != "" {
			return other
		}
		return member
	})
	b := sample.Batch(0, 1, renamed, sample.Source(2).Shaped(record.Shape{StdLine: "log", Time: true}))
	require.NoError(t, open(t, address).Write(t.Context(), b))
	require.Len(t, s.stored["web"], 2)
	a, c := s.stored["web"][0], s.stored["web"][1]
	if _, shaped := a["log"]; shaped {
		a, c = c, a
	}
	require.Equal(t, "node-1 0 stdout stdout", a["host.name"]+" "+a["log.offset"]+" "+a["log.file.path"]+" "+a["log.iostream"])
	require.NotContains(t, a, "offset")
	require.Equal(t, sample.Line(0)+"\n", c["log"])
	require.NotContains(t, c, "message")
	require.Equal(t, "2025-11-21T07:00:00.000000000Z", c["time"])
}
