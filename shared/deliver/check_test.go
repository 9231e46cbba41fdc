// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
)

func TestCheckOfAllOutputs(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	path := filepath.Join(t.TempDir(), "remora.yaml")
	require.NoError(t, os.WriteFile(path, []byte("outputs:\n  cold: {kind: http, HTTP_URL: '"+gone.URL+"', HTTP_BEARER_TOKEN: hunter2}\n"), 0o600))
	environ := map[string]string{"REMORA_CONFIG": path, "LOGGING_OUTPUT": "null"}
	var out bytes.Buffer
	err := checkBackends(t.Context(), &out, false, environ, new(config.Sidecar))
	require.EqualError(t, err, "1 of 2 outputs would not deliver")
	require.Regexp(t, `^null: ok: drops everything\ncold \(http\): HTTP_URL: .*refused\n$`, out.String())
	require.NotContains(t, out.String(), "hunter2")

	out.Reset()
	require.Error(t, checkBackends(t.Context(), &out, true, environ, new(config.Sidecar)))
	require.Contains(t, out.String(), `"output": "cold"`)

	environ["LOGGING_OUTPUT"] = "cold,warm"
	err = checkBackends(t.Context(), &out, true, environ, new(config.Sidecar))
	require.ErrorContains(t, err, `output "warm" is not known`)
	require.True(t, command.IsUsage(err))

	names, err := FileOutputs(path)
	require.NoError(t, err)
	require.Equal(t, []string{"cold"}, names)
}
