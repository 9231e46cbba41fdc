// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Each declaration of a container has a row: a silent one, one that was refused, one of a file that the plugin can't
// collect, and, after the container has ended, what was delivered.
func TestEveryDeclarationOfAContainerHasARow(t *testing.T) {
	e := newEngine(t)
	at := telemetry.Address{Network: "unix", Address: filepath.Join(e.dir, "state", "status.sock")}
	rows := func() map[string]telemetry.Row {
		s, err := telemetry.Ask(t.Context(), at)
		require.NoError(t, err)
		all := map[string]telemetry.Row{}
		for _, r := range s.Rows {
			require.Equal(t, "web", r.Container)
			all[r.Declaration] = r
		}
		return all
	}
	c := e.run(plugin.Info{
		ContainerID: strings.Repeat("ab", 32), ContainerName: "/web",
		ContainerLabels: map[string]string{"aliyun.logs.access": "stdout", "aliyun.logs.access.format": "json",
			"aliyun.logs.bad": "stdout", "aliyun.logs.bad.format": "jsno", "aliyun.logs.file": "/logs/*.log"},
	})
	all := rows()
	require.Len(t, all, 3)
	require.Equal(t, telemetry.StateDone, all["access"].State)
	require.Equal(t, telemetry.StateRefused, all["bad"].State)
	require.Contains(t, all["bad"].Reason, "jsno")
	require.Equal(t, telemetry.StateRefused, all["file"].State)
	require.Contains(t, all["file"].Reason, "the sidecar collect files")
	c.write(`{"a":1}`)
	c.stop()
	e.nothingLeft()
	all = rows()
	require.Len(t, all, 1)
	require.Equal(t, telemetry.StateEnded, all["access"].State)
	require.EqualValues(t, 1, all["access"].Counts.SentRecords)
	e.terminate()
}
