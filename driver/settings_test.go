// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/driver/plugin"
)

// status is what the status command of the same binary prints.
func (e *engine) status() string {
	e.t.Helper()
	command := exec.Command(os.Args[0], "status")
	command.Env = e.env
	out, err := command.CombinedOutput()
	require.NoError(e.t, err, "%s", out)
	return string(out)
}

// A plugin with a wrong setting must not keep containers from starting, and must not lose what they write.
func TestWrongSettingsDeliverNothingAndLoseNothing(t *testing.T) {
	for name, wrong := range map[string][]string{
		"misspelt output":    {"LOGGING_OUTPUT=fiel"},
		"setting of output":  {"FILE_ROTATE_SIZE=huge"},
		"setting of its own": {"REMORA_SPOOL_MAX_BYTES=12"},
		"common setting":     {"REMORA_WORKERS=many"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, wrong...)
			variable, _, _ := strings.Cut(wrong[0], "=")
			c := e.run(plugin.Info{ContainerID: "c0ffee", ContainerName: "/web",
				ContainerLabels: map[string]string{"aliyun.logs.all": "stdout", "aliyun.logs.some": "stdout", "aliyun.logs.some.output": "file"}})
			c.write("kept")
			c.stop()
			require.Regexp(t, `settings +`+`.*`+variable, e.status())
			require.Empty(t, e.delivered("all"))
			e.terminate()
			require.Contains(t, e.stderr.String(), variable)

			e.env = append(e.env, "LOGGING_OUTPUT=file", "FILE_ROTATE_SIZE=1000000", "REMORA_SPOOL_MAX_BYTES=", "REMORA_WORKERS=") // the last counts
			e.start()
			for _, target := range []string{"all", "some"} {
				require.Eventually(t, func() bool { return len(e.delivered(target)) == 1 }, time.Minute, 10*time.Millisecond, target)
				require.Equal(t, "kept", e.delivered(target)[0]["message"])
			}
			e.nothingLeft()
			require.NotContains(t, e.status(), "FAULT")
			e.terminate()
		})
	}
}

// What one output has acknowledged is not sent again to the one that replaces it.
func TestAnotherOutputResumesWhereTheFirstWas(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{ContainerID: "c0ffee", ContainerLabels: map[string]string{"aliyun.logs.web": "stdout"}})
	c.write("first")
	require.Eventually(t, func() bool { return len(e.delivered("web")) == 1 }, time.Minute, 10*time.Millisecond)
	e.terminate()
	c.write("second")
	e.env = append(e.env, "LOGGING_OUTPUT=console")
	e.stderr.Reset()
	e.start()
	c.stop()
	e.nothingLeft()
	e.terminate()
	require.NotContains(t, e.stderr.String(), "first")
	require.Contains(t, e.stderr.String(), "second")
	require.Contains(t, e.stderr.String(), "LOGGING_OUTPUT has changed")
}

// Outputs of a name come from a file; status and checkpoints go by the name, and a wrong line keeps everything in the spool.
func TestOutputsOfAName(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "remora.yaml")
	write := func(path string) {
		t.Helper()
		text := "outputs:\n  hot: {kind: file, FILE_PATH: " + dir + "/hot}\n  cold: {kind: file, " + path + ": " + dir + "/cold}\n"
		require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	}
	write("FILE_PAHT")
	e := newEngine(t, "REMORA_CONFIG="+config, "LOGGING_OUTPUT=hot,cold,file")
	c := e.run(plugin.Info{ContainerID: "c0ffee", ContainerName: "/web", ContainerLabels: map[string]string{
		"aliyun.logs.all": "stdout", "aliyun.logs.some": "stdout", "aliyun.logs.some.output": "cold"}})
	c.write("kept")
	require.Regexp(t, `settings .*remora.yaml, line 3: outputs.cold.FILE_PAHT: unknown key`, e.status())
	e.terminate()

	write("FILE_PATH")
	e.start()
	c.stop()
	e.nothingLeft()
	require.Regexp(t, `(?m)^.*\bcold\b`, e.status())
	e.terminate()
	for path, want := range map[string]bool{"/hot/all": true, "/hot/some": false, "/cold/all": true, "/cold/some": true} {
		found, err := filepath.Glob(dir + path + "*")
		require.NoError(t, err)
		require.Equal(t, want, len(found) == 1, "%s: %v", path, found)
	}
	require.Len(t, e.delivered("all"), 1)

	e.env = append(e.env, "REMORA_CONFIG="+filepath.Join(dir, "logs.yaml"), "LOGGING_OUTPUT=file")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs.yaml"), []byte("\nlogs: {a: stdout}\n"), 0o600))
	e.start()
	require.Contains(t, e.status(), "line 2: logs has no effect in the log driver")
	e.terminate()
}
