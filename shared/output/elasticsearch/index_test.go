// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func TestIndexByTagsWeeksAndZones(t *testing.T) {
	s := record.NewSource("k", "d", "stdout", "app", []record.Tag{{Key: "team_name", Value: "Shop"}}, []record.Tag{{Key: "k8s_pod_namespace", Value: "prod"}})
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	require.NoError(t, err)
	evening := time.Date(2025, 12, 28, 20, 0, 0, 0, time.UTC).UnixNano() // Sunday; Monday in Shanghai
	for _, test := range []struct {
		pattern string
		zone    *time.Location
		want    string
	}{
		{"%{[index]}-%{+yyyy.MM.dd}", time.UTC, "app-2025.12.28"},
		{"%{[index]}-%{+yyyy.MM.dd}", shanghai, "app-2025.12.29"},
		{"{k8s_pod_namespace}-{target}-{yyyy.MM}", time.UTC, "prod-app-2025.12"},
		{"{team_name}-{k8s_pod}-x", time.UTC, "shop-none-x"},
		{"{target}-{YYYY.ww}", time.UTC, "app-2025.52"},
		{"{target}-{YYYY.ww}", shanghai, "app-2026.01"},
	} {
		p, err := parseIndex(test.pattern, test.zone)
		require.NoError(t, err, test.pattern)
		require.Equal(t, test.want, p.name(s, evening), test.pattern)
	}
	require.ErrorContains(t, settings.Load(map[string]string{"ELASTICSEARCH_HOST": "h", "ELASTICSEARCH_INDEX_TIME_ZONE": "Mars/Base"}, new(Config)),
		"ELASTICSEARCH_INDEX_TIME_ZONE")
}

// The name changes at midnight of the zone, also where its days begin at a half hour of UTC.
func TestIndexChangesAtTheZonesMidnight(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata") // UTC+5:30
	require.NoError(t, err)
	p, err := parseIndex("{target}-{yyyy.MM.dd}", kolkata)
	require.NoError(t, err)
	midnight := time.Date(2025, 11, 22, 0, 0, 0, 0, kolkata).UnixNano()
	require.NotEqual(t, p.period(midnight-1), p.period(midnight))
}
