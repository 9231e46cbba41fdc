// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/cri"
)

// nerdctls is a container of nerdctl's with that ID in a namespace.
func nerdctls(namespace, id, name, driver string) containers.Container {
	return containers.Container{
		Runtime: "containerd", Namespace: namespace, ID: namespace + "/" + id, Name: name, Image: "docker.io/library/nginx:1",
		Detailed: true, Running: true, Log: containers.Log{Driver: driver},
		Labels: map[string]string{"aliyun.logs.out": "stdout", "aliyun.logs.app": "/logs/*.log", "com.docker.compose.project": "shop"},
		Files:  containers.Files{Upper: "/overlay/u", Mounts: map[string]string{"/logs": "/volumes/logs"}},
	}
}

func TestAContainerOfContainerd(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "volumes/logs"), 0o755))
	a.Found(nerdctls("default", "abc", "web", "remora-logger"))
	require.Equal(t, []string{"put files/containerd/default//web"}, f.take(), "its output comes from the spool")
	require.Empty(t, a.subjects["containerd/default//web"].problems)
	require.Equal(t, map[string]string{"docker_app": "shop", "docker_container": "web", "container_id": "abc", "image": "docker.io/library/nginx:1",
		"host": "node-1"}, tags(a.routes.get("files/containerd/default//web").writer))
	all := a.explain(func(v *view) bool { return v.Name == "web" })
	require.Len(t, all, 1)
	require.Equal(t, []string{"/logs/*.log", "stdout"}, []string{all[0].Logs[0].Source, all[0].Logs[1].Source})
	require.Equal(t, "captured by remora-logger", all[0].Logs[1].Where)
}

// What declares its output without a logger is told what to do, once, and only while it runs.
func TestNobodyCapturesTheOutput(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	problems := func(c containers.Container) (found []string) {
		a.Found(c)
		for _, p := range a.subjects[keyOf(&c)].problems {
			if p.Key == "out" {
				found = append(found, p.Message)
			}
		}
		return found
	}
	for _, driver := range []string{"", "nerdctl", "file"} {
		found := problems(nerdctls("default", "abc", "web", driver))
		require.Len(t, found, 1, driver)
		require.Contains(t, found[0], "--log-driver binary:///usr/local/bin/remora-logger", driver)
	}
	ended := nerdctls("default", "abc", "web", "")
	ended.Running = false
	require.Empty(t, problems(ended))
}

// Whoever starts a container with the logger wants its output, declared or not.
func TestCapturedOutputIsCollectedByDefault(t *testing.T) {
	a, _, _ := newTestAgent(t, nil)
	c := nerdctls("default", "abc", "web", "remora-logger")
	c.Labels = nil
	a.Found(c)
	target := func() string {
		all := a.explain(func(*view) bool { return true })
		require.Len(t, all[0].Logs, 1)
		return all[0].Logs[0].Target
	}
	require.Equal(t, "stdout", target())
	c.Log.Options = map[string]string{"target": "orders", "spool": "/x", "when-full": "block"}
	a.Found(c)
	require.Equal(t, "orders", target())
	require.Empty(t, a.subjects["containerd/default//web"].problems)
	c.Labels = map[string]string{"remora.io/exclude": "true"}
	a.Found(c)
	require.Empty(t, a.explain(func(*view) bool { return true })[0].Logs)
}

// Namespaces may have containers of the same name and ID, and a name may be another's ID. None hides another.
func TestNamesInNamespaces(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	all := []containers.Container{
		nerdctls("default", "abc", "web", ""), nerdctls("second", "abc", "web", ""), nerdctls("default", "web", "web", ""), nerdctls("second", "web", "web", ""),
	}
	forger := nerdctls("default", "forger", "forger", "")
	forger.Labels["com.docker.swarm.task.name"] = "shop_web.1.task"
	swarm := web()
	swarm.Labels["com.docker.swarm.task.name"] = "shop_web.1.task"
	for _, c := range append(all, forger, swarm) {
		a.Found(c)
	}
	var files []string
	for id := range f.origins {
		if strings.HasPrefix(id, "files/") {
			files = append(files, id)
		}
	}
	slices.Sort(files)
	require.Equal(t, []string{"files/containerd/default//web", "files/containerd/default/forger", "files/containerd/default/web",
		"files/containerd/second//web", "files/containerd/second/web", "files/swarm/shop_web.1"}, files)
}

// Containers of Pods are containerd's only where nobody else is asked for them.
func TestPodsOfContainerd(t *testing.T) {
	for text, want := range map[string]bool{"auto": false, "containerd": true, "containerd,docker": true, "containerd,cri": false, "kubernetes,containerd": false} {
		require.Equal(t, want, podsOfContainerd(strings.Split(text, ",")), text)
	}
}

// Beside another runtime, a containerd that can't be asked is no fault, unless it was named.
func TestContainerdAddsToOthers(t *testing.T) {
	f := &sources{there: map[string]string{"containerd": "/c.sock"}, all: []source{{name: "containerd"}, {name: "docker"}}}
	require.False(t, f.adds("containerd"))
	f.there["docker"] = "/d.sock"
	require.True(t, f.adds("containerd"))
	require.True(t, f.answered(map[string]error{"docker": nil, "containerd": os.ErrPermission}))
	f.all[0].asked = true
	require.False(t, f.adds("containerd"))
}

// refusing is an inventory where somebody else listens.
type refusing struct{ containers.Inventory }

func (refusing) Name() string { return "cri" }

func (refusing) List(context.Context) ([]containers.Container, error) {
	return nil, fmt.Errorf("at /run/containerd: %w", cri.ErrNone)
}

// Docker's containerd serves no CRI: explain, which waits until all have answered, is told so at once.
func TestASocketThatServesSomethingElse(t *testing.T) {
	f := &sources{log: slog.New(slog.DiscardHandler), there: map[string]string{}, all: []source{{name: "cri", open: func(string) (containers.Inventory, error) {
		return refusing{}, nil
	}}}}
	a, _, _ := newTestAgent(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	a.listed = func(all map[string]error) {
		require.Equal(t, map[string]error{"cri": nil}, all)
		stop()
	}
	f.follow(ctx, a)
	require.Empty(t, f.there)
}

// A root file system of the client's choice is read as a volume is: a link that somebody else can put on its way leads nowhere.
func TestARootOfTheClientsChoice(t *testing.T) {
	a, f, _ := newTestAgent(t, nil)
	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "srv/rootfs/logs"), 0o755))
	c := nerdctls("default", "abc", "abc", "remora-logger")
	c.Files = containers.Files{Mounts: map[string]string{"/": "/srv/rootfs"}}
	a.Found(c)
	id := "files/containerd/default/abc"
	require.Equal(t, filepath.Join(a.host.root, "srv/rootfs/logs/a.log"), f.origins[id].Root.HostPath("/logs/a.log"))
	require.Equal(t, "/ at /srv/rootfs", a.subjects["containerd/default/abc"].put[id].way)
	require.Empty(t, a.subjects["containerd/default/abc"].problems)

	process := filepath.Join(a.host.root, "proc/77")
	require.NoError(t, os.MkdirAll(filepath.Join(process, "root"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(process, "cgroup"), []byte("0::/default/abc\n"), 0o600))
	c.Files.Process, c.Files.Hidden = 77, []string{"/logs"}
	a.Found(c)
	require.Equal(t, "/ at /srv/rootfs, /logs at /proc/77/root/logs", a.subjects["containerd/default/abc"].put[id].way)

	require.NoError(t, os.MkdirAll(filepath.Join(a.host.root, "home"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(a.host.root, "home"), 0o777))
	require.NoError(t, os.Symlink("/etc", filepath.Join(a.host.root, "home/rootfs")))
	a.Listed("containerd", nil, nil)
	forger := nerdctls("default", "forger", "forger", "remora-logger")
	forger.Files = containers.Files{Mounts: map[string]string{"/": "/home/rootfs"}}
	a.Found(forger)
	require.Empty(t, f.origins["files/containerd/default/forger"].Root.HostPath("/shadow"))
	require.NotEmpty(t, a.subjects["containerd/default/forger"].problems)
}
