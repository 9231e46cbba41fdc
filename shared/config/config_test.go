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

func TestCheckOutputs(t *testing.T) {
	known := []string{"console", "kafka"}
	names := []string{" kafka", "console "}
	require.NoError(t, config.CheckOutputs(names, known))
	require.Equal(t, []string{"kafka", "console"}, names)
	require.EqualError(t, config.CheckOutputs([]string{"kafak"}, known), `LOGGING_OUTPUT: output "kafak" is not known; there are console, kafka`)
	require.EqualError(t, config.CheckOutputs([]string{"kafka", " kafka"}, known), "LOGGING_OUTPUT names kafka twice")
}
