// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/checkup"
	"github.com/remora-logs/remora/shared/config"
)

// answering is an inventory of which only the list matters.
type answering struct {
	containers.Inventory
	err error
}

func (l answering) List(context.Context) ([]containers.Container, error) {
	return make([]containers.Container, 3), l.err
}

func TestCheckOfRuntimes(t *testing.T) {
	dir := t.TempDir()
	h, err := findHost(dir)
	require.NoError(t, err)
	results := func(f *sources) map[string]checkup.Result {
		all := map[string]checkup.Result{}
		for _, i := range f.check(t.Context()) {
			all[i.About] = i.Result
		}
		return all
	}
	f := &sources{host: h, log: slog.New(slog.DiscardHandler), there: map[string]string{}}
	opens := func(err error) func(string) (containers.Inventory, error) {
		return func(string) (containers.Inventory, error) { return answering{err: err}, nil }
	}
	f.all = []source{{name: "docker", at: []string{dir}, open: opens(nil)}, {name: "cri", at: []string{dir}, open: opens(context.DeadlineExceeded)},
		{name: "podlogs", at: []string{"/nowhere"}, open: opens(nil)}}
	require.Equal(t, map[string]checkup.Result{"containers of docker at " + dir: checkup.OK, "containers of cri at " + dir: checkup.Warning}, results(f))
	f.all = f.all[1:]
	f.all[0].asked, f.all[1].asked = true, true
	require.Equal(t, map[string]checkup.Result{"containers of cri at " + dir: checkup.Failed, "containers of podlogs": checkup.Failed,
		"containers": checkup.Failed}, results(f))

	real, err := newSources(config.Node{Runtime: []string{"cri"}, CRISocket: filepath.Join(dir, "none.sock"), PodLogs: filepath.Join(dir, "pods")}, h, nil, f.log)
	require.NoError(t, err)
	require.Equal(t, map[string]checkup.Result{"containers of cri": checkup.Failed, "containers": checkup.Failed}, results(real))
}
