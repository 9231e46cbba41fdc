// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkup"
	"github.com/remora-logs/remora/shared/command"
)

// check runs the command with an environment of its own, and returns what it said and its exit code.
func check(t *testing.T, env []string, args ...string) (said string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"check"}, args...)...)
	cmd.Env = append(env, runMain+"=1", "GORACE="+os.Getenv("GORACE"))
	var out, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errors
	_ = cmd.Run() // the code tells
	return out.String() + errors.String(), cmd.ProcessState.ExitCode()
}

func TestCheck(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer backend.Close()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	good := []string{"REMORA_STATE_DIR=" + state, "LOGGING_OUTPUT=http", "HTTP_URL=" + backend.URL, "aliyun_logs_app=" + dir + "/*.log"}
	said, code := check(t, good)
	require.Zero(t, code, said)
	for _, line := range []string{"✓ settings: all values are valid", "✓ state directory " + state + ": can be written, ", "✓ declarations: 1 are valid",
		"✓ log app " + dir + "/*.log: " + dir + " can be read", "✓ output http: "} {
		require.Contains(t, said, line)
	}
	require.NoDirExists(t, state, "nothing stays")
	said, code = check(t, append(good, "REMORA_WORKRS=3"))
	require.Zero(t, code, "a warning is no failure: "+said)
	require.Contains(t, said, "! settings: there is no setting REMORA_WORKRS\n    Did you mean REMORA_WORKERS?\n")

	said, code = check(t, append(good, "REMORA_WORKERS=0", "REMORA_READ_FROM=middle"))
	require.Equal(t, command.ExitUsage, code)
	require.Contains(t, said, "✗ settings: REMORA_WORKERS is 0; it must be at least 1\n")
	require.Contains(t, said, `✗ settings: REMORA_READ_FROM is "middle"`)

	settings := filepath.Join(dir, "remora.yml")
	require.NoError(t, os.WriteFile(settings, []byte("settings:\n  LOGGING_OUTPUT: http\n  HTTP_URL: "+backend.URL+"\n  REMORA_WORKERS: 0\n"), 0o600))
	said, code = check(t, []string{"REMORA_CONFIG=" + settings, "REMORA_STATE_DIR=" + state})
	require.Equal(t, command.ExitUsage, code)
	require.Contains(t, said, "✗ settings: REMORA_WORKERS is set in "+settings+", line 4\n")
	said, code = check(t, []string{"REMORA_CONFIG=" + settings, "REMORA_STATE_DIR=" + state, "REMORA_WORKERS=2"})
	require.Zero(t, code, said)
	require.Contains(t, said, "✓ output http: ")

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	backend.Close()
	said, code = check(t, append(good, "REMORA_STATE_DIR="+file, "REMORA_LABELS="+dir+"/none", "aliyun_logs_bad=relative", "aliyun_logs_far=/nowhere/x/*.log"), "--json")
	require.Equal(t, command.ExitFailure, code, said)
	var items []checkup.Item
	require.NoError(t, json.NewDecoder(strings.NewReader(said)).Decode(&items))
	results := map[string]checkup.Result{}
	for _, i := range items {
		results[i.About] = i.Result
		if i.Result == checkup.Failed {
			require.NotEmpty(t, i.Do, i.About)
		}
	}
	for about, result := range map[string]checkup.Result{"settings": checkup.OK, "state directory " + file: checkup.Failed,
		"REMORA_LABELS " + dir + "/none": checkup.Failed, "aliyun_logs_bad": checkup.Failed,
		"log far /nowhere/x/*.log": checkup.Warning, "output http": checkup.Failed} {
		require.Equal(t, result, results[about], "%s of %v", about, results)
	}
}
