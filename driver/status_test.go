// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
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

// The status can be asked for while containers start. The race detector, if the test has it, watches the driver.
func TestStatusWhileContainersStart(t *testing.T) {
	e := newEngine(t)
	at := telemetry.Address{Network: "unix", Address: filepath.Join(e.dir, "state", "status.sock")}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				if s, err := telemetry.Ask(ctx, at); err == nil {
					for _, p := range s.Problems {
						assert.Equal(t, "web", p.Container)
					}
				}
			}
		})
	}
	var all []*container
	for i := range 50 {
		all = append(all, e.run(plugin.Info{
			ContainerID: fmt.Sprintf("%064x", i), ContainerName: "/web", ContainerLabels: map[string]string{"aliyun.logs.bad": "stdout", "aliyun.logs.bad.format": "jsno"},
		}))
	}
	for _, c := range all {
		c.stop()
	}
	cancel()
	asking.Wait()
	e.terminate()
	require.NotContains(t, e.stderr.String(), "DATA RACE")
}
