// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConflictsAreShown(t *testing.T) {
	now := time.Now()
	s := Snapshot{Now: now, Started: now, Outputs: []Output{{Name: "elasticsearch", Conflicts: 12}, {Name: "file"}}}
	var page, scrape strings.Builder
	require.NoError(t, s.Print(&page))
	require.Contains(t, page.String(), "12 stored with a field as text")
	require.Equal(t, 1, strings.Count(page.String(), "stored with a field"))
	s.WriteMetrics(&scrape)
	require.Contains(t, scrape.String(), `remora_output_conflicts_total{output="elasticsearch"} 12`)
}
