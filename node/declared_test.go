// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

func TestDeclarationsTellWhatMatches(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	a.outputs = func(declare.Declaration) []string { return []string{"kafka"} }
	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "volumes/logs"), 0o755))
	a.Found(web())
	a.Found(pod())
	left := pod()
	left.ID, left.Pod.UID, left.Pod.Name, left.Labels = "c2", "uid2", "web-1", map[string]string{excludeKey: "true"}
	a.Found(left)
	m := countMatches([]tail.File{
		{Origin: "files/docker/web", Declarations: []string{"app"}, Path: "/logs/a.log", Size: 9, Offset: 4, State: "reading"},
		{Origin: "files/docker/web", Declarations: []string{"app"}, Path: "/logs/b.log"},
	}, []string{"log/uid/app"})
	all := map[string]telemetry.Declaration{}
	for _, d := range a.declarations(&m) {
		all[d.Container+" "+d.Name] = d
	}
	require.Len(t, all, 4)
	app := all["web app"]
	require.Equal(t, 2, app.Files)
	require.Equal(t, []string{"/logs/*.log"}, app.Sources)
	require.Equal(t, telemetry.File{Declaration: "app", Path: "/logs/a.log", Size: 9, Offset: 4, State: "reading"}, app.Found[0])
	require.Zero(t, all["web out"].Files)
	require.Equal(t, []string{"stdout"}, all["web out"].Sources)
	require.Equal(t, -1, all["shop/web-0/app out"].Files, "it does not answer")
	require.Equal(t, "it is labelled remora.io/exclude=true", all["shop/web-1/app out"].LeftOut)
}

// A container's rows have the name that its streams have.
func TestContainersAreNamedAlike(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	a.Found(web())
	a.Found(pod())
	for key, s := range a.subjects {
		v := s.view()
		require.Equal(t, v.name(), record.NewSource("s", "d", "p", "t", nil, a.writer(&v)).Writer(), key)
	}
}
