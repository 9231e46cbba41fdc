// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/telemetry"
)

// unpack returns the files of a bundle.
func unpack(t *testing.T, bundle []byte) map[string]string {
	t.Helper()
	uncompressed, err := gzip.NewReader(bytes.NewReader(bundle))
	require.NoError(t, err)
	files := map[string]string{}
	for archive := tar.NewReader(uncompressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		files[header.Name] = string(content)
	}
}

func TestSupportHoldsNoSecret(t *testing.T) {
	o := Options{Version: "v1", Outputs: []string{"null"}, StateDir: filepath.Join(t.TempDir(), "state"), Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, Load(nil, &o.Common, &o.Batching))
	d, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	d.Serve(func(*telemetry.Snapshot) {}, func() []telemetry.Declaration { return nil })
	require.NoError(t, os.WriteFile(filepath.Join(o.StateDir, "segment"), []byte("a line with hunter2"), 0o600))

	c := SupportCommand{Version: "v1", Settings: func() []settings.Section { return Sections("Sidecar", new(config.Sidecar)) }}
	environ := map[string]string{
		"KAFKA_PASSWORD": "hunter2", "HTTP_URL": "https://u:hunter2@logs.example/hunter2?token=hunter2", "HTTP_HEADERS": "Authorization=hunter2",
		"ELASTICSEARCH_HOSTS": "es-1:9200,http://u:hunter2@es-2:9200", "LOKI_URL": "u:hunter2@loki", "KAFKA_BROKERS": "k-1:9092,k-2:9092",
		"REMORA_BATCH_LNGER": "hunter2", "DB_PASSWORD": "hunter2", "KAFKA_PORT": "tcp://10.0.0.1:9092", "LOGGING_OUTPUT": "kafka",
	}
	bundle, err := c.bundle(t.Context(), environ, config.Status{StateDir: o.StateDir})
	require.NoError(t, err)
	files := unpack(t, bundle)
	for name, content := range files {
		require.NotContains(t, content, "hunter2", name)
	}
	require.Contains(t, files["remora-support/status.json"], `"version":"v1"`)
	require.Contains(t, files["remora-support/metrics.txt"], "remora_logs 0")
	require.Contains(t, files["remora-support/state.txt"], "segment")
	require.Contains(t, files["remora-support/system.txt"], "remora v1")
	shown := files["remora-support/settings.txt"]
	for _, line := range []string{
		"KAFKA_PASSWORD=(set, not shown)\n", "KAFKA_BROKERS=k-1:9092,k-2:9092\n", "ELASTICSEARCH_HOSTS=es-1:9200,http://es-2:9200/…\n",
		"LOGGING_OUTPUT=kafka\n", "REMORA_BATCH_LNGER is unknown\n",
	} {
		require.Contains(t, shown, line)
	}
}

func TestSupportWithoutARunningRemora(t *testing.T) {
	c := SupportCommand{Settings: func() []settings.Section { return nil }}
	bundle, err := c.bundle(t.Context(), nil, config.Status{StateDir: "/nowhere"})
	require.NoError(t, err)
	require.Contains(t, unpack(t, bundle)["remora-support/status.json"], "no running Remora answers")
}
