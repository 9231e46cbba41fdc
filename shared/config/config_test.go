// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/pipeline"
)

func TestDefaultsAreSound(t *testing.T) {
	var c config.Common
	var d config.Driver
	var s config.Sidecar
	var p pipeline.Config
	require.NoError(t, config.Load(nil, &c, &d, &s, &p))
	require.Equal(t, "aliyun", c.Prefix)
	require.Equal(t, []string{"file"}, d.Outputs)
	require.Equal(t, []string{"console"}, s.Outputs)
	require.Equal(t, 2*time.Millisecond, d.CaptureInterval)
	require.Equal(t, 4<<20, p.BatchBytes)
	network, address := c.ListenAddress("/state")
	require.Equal(t, "unix /state/status.sock", network+" "+address)
}

func TestEverythingThatIsWrongIsNamedAtOnce(t *testing.T) {
	var c config.Common
	var d config.Driver
	err := config.Load(map[string]string{"LOGGING_OUTPUT": "kafka,kafak", "REMORA_WHEN_FULL": "explode",
		"REMORA_WORKERS": "0", "REMORA_SPOOL_MAX_BYTES": "12"}, &c, &d)
	for _, part := range []string{"LOGGING_OUTPUT", "kafak", "console", "REMORA_WHEN_FULL", "drop-oldest", "REMORA_WORKERS",
		"REMORA_SPOOL_MAX_BYTES"} {
		require.ErrorContains(t, err, part)
	}
}

func TestEverySettingIsDocumentedAndStandsOnce(t *testing.T) {
	for _, sections := range [][]config.Section{config.DriverSections(), config.SidecarSections()} {
		seen := map[string]bool{}
		for _, s := range sections {
			for _, one := range s.Settings {
				require.NotEmpty(t, one.Doc, one.Name)
				require.False(t, seen[one.Name], "%s stands twice", one.Name)
				seen[one.Name] = true
			}
		}
	}
}
