// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
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
				require.Eventually(t, func() bool { return len(e.delivered(target)) == 1 }, 10*time.Second, 10*time.Millisecond, target)
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
	require.Eventually(t, func() bool { return len(e.delivered("web")) == 1 }, 10*time.Second, 10*time.Millisecond)
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
