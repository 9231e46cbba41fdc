// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/settings"
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
	network, address := (&config.Status{Listen: c.Listen, StateDir: "/state"}).ListenAddress()
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

func TestWhatIsWrongIsLeftOut(t *testing.T) {
	var c config.Common
	var d config.Driver
	err := config.LoadValid(map[string]string{"REMORA_WORKERS": "many", "REMORA_MAX_RECORD_BYTES": "12", "REMORA_HOST": "node-1",
		"REMORA_SPOOL_MAX_BYTES": "1", "REMORA_STATE_DIR": "/s", "LOGGING_OUTPUT": "kafak"}, &c, &d)
	require.ErrorContains(t, err, "REMORA_WORKERS")
	require.ErrorContains(t, err, "REMORA_SPOOL_MAX_BYTES")
	require.Equal(t, 2, c.Workers)
	require.Equal(t, 1<<20, c.MaxRecordBytes)
	require.Equal(t, "node-1", c.Host)
	require.Equal(t, int64(1<<30), d.SpoolMaxBytes)
	require.Equal(t, "/s", d.StateDir)
	require.Equal(t, []string{"kafak"}, d.Outputs)
}

func TestUnknownSettings(t *testing.T) {
	sections := []settings.Section{
		{Title: "Sidecar", Settings: []settings.Setting{{Name: "POD_UID"}, {Name: "REMORA_BATCH_LINGER"}, {Name: "LOGGING_OUTPUT"}}},
		{Title: "Output kafka", Settings: []settings.Setting{{Name: "KAFKA_BROKERS"}, {Name: "KAFKA_PASSWORD", Secret: true}}},
	}
	unknown := config.Unknown(map[string]string{
		"REMORA_BATCH_LNGER": "1s", "REMORA_NONSENSE": "x", "KAFKA_BROKER": "b:1", "KAFKA_PASWORD_FILE": "/f",
		"KAFKA_BROKERS": "b:1", "KAFKA_PASSWORD_FILE": "/f", "KAFKA_HOME": "/opt", "POD_IP": "10.0.0.1", "PATH": "/bin", "REMORA_EMPTY": "",
		"REMORA_SERVICE_HOST": "10.0.0.1", "REMORA_PORT": "tcp://10.0.0.1:1", "REMORA_PORT_9090_TCP_ADDR": "10.0.0.1",
		"aliyun_logs_x": "stdout", "REMORA_logs_x": "/a", "REMOTE_HOST": "h",
	}, sections)
	require.Equal(t, []config.Misspelt{
		{Name: "KAFKA_BROKER", Near: "KAFKA_BROKERS"}, {Name: "KAFKA_PASWORD_FILE", Near: "KAFKA_PASSWORD_FILE"},
		{Name: "REMORA_BATCH_LNGER", Near: "REMORA_BATCH_LINGER"}, {Name: "REMORA_NONSENSE"},
	}, unknown)
}
