// SPDX-License-Identifier: Apache-2.0

package origin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/record"
)

func asMap(tags []record.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

func TestTags(t *testing.T) {
	id := "0123456789abcdef0123456789abcdef"
	base := map[string]string{"docker_container": "web", "container_id": id, "image": "nginx:1", "host": "node-1"}
	for name, c := range map[string]struct{ labels, want map[string]string }{
		"plain": {nil, nil},
		"compose": {map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
			map[string]string{"docker_app": "shop", "docker_service": "web"}},
		"swarm": {map[string]string{"com.docker.swarm.service.name": "shop_web", "com.docker.swarm.task.name": "shop_web.1.x",
			"com.docker.swarm.node.id": "n", "com.docker.stack.namespace": "shop", "com.docker.swarm.task": ""},
			map[string]string{"docker_app": "shop", "docker_service": "shop_web", "swarm_service": "shop_web",
				"swarm_task": "shop_web.1.x", "swarm_node_id": "n"}},
		"cri-dockerd": {map[string]string{"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "ns",
			"io.kubernetes.pod.uid": "u", "io.kubernetes.container.name": "c"},
			map[string]string{"k8s_pod": "p", "k8s_pod_namespace": "ns", "k8s_pod_uid": "u", "k8s_container_name": "c",
				"k8s_node_name": "node-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{}
			for _, m := range []map[string]string{base, c.want} {
				for k, v := range m {
					want[k] = v
				}
			}
			got := origin.Container{ID: id, Name: "/web", ImageName: "nginx:1", Labels: c.labels}.Tags("node-1", "")
			require.Equal(t, want, asMap(got))
		})
	}
}

// template fills in one as the engine does.
func fill(t *testing.T, c origin.Container, text string, options ...string) (string, []error) {
	t.Helper()
	all := map[string]string{"tag": text}
	for i := 0; i < len(options); i += 2 {
		all[options[i]] = options[i+1]
	}
	tags, problems := c.Attributes(all)
	return asMap(tags)["tag"], problems
}

func TestTagTemplates(t *testing.T) {
	c := origin.Container{ID: "0123456789abcdef", Name: "/web", ImageName: "nginx:1", Entry: "nginx", Args: []string{"-g", "daemon off"},
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Labels: map[string]string{"team": "a", "a.b": "dotted"}, Env: []string{"STAGE=test", "X=y"}}
	for text, want := range map[string]string{
		`{{.Name}}/{{.ID}}`:                     "web/0123456789ab",
		`{{upper .ImageName}}`:                  "NGINX:1",
		`{{.ImageName | upper | lower}}`:        "nginx:1",
		`{{slice .FullID 0 4}}`:                 "0123",
		`{{join .ContainerArgs " "}}`:           "-g daemon off",
		`{{index .ContainerLabels "a.b"}}`:      "dotted",
		`{{index .ContainerEnv 0}}`:             "STAGE=test",
		`{{.ContainerLabels.team}}`:             "a",
		`{{(.ExtraAttributes nil).STAGE}}`:      "test",
		`{{ (.ExtraAttributes nil).team }}`:     "a",
		`{{.ContainerEnv}}`:                     "[STAGE=test X=y]",
		`{{.ContainerCreated}}`:                 "2026-01-02 03:04:05 +0000 UTC",
		`{{.ContainerCreated.Format "2006"}}`:   "2026",
		`plain {{/* nothing */}}text`:           "plain text",
		`{{index (.ExtraAttributes nil) "X"}}!`: "!",
	} {
		got, problems := fill(t, c, text, "labels", "team", "env", "STAGE")
		require.Empty(t, problems, text)
		require.Equal(t, want, got, text)
	}
}

// A template is somebody else's program: it must take neither our memory nor our time. None of these may run.
func TestATagTemplateCannotTakeMemoryOrTime(t *testing.T) {
	c := origin.Container{Name: "/web", Args: slices.Repeat([]string{"argument"}, 1000), Env: slices.Repeat([]string{"K=v"}, 1000)}
	nested := `""`
	for range 40 {
		nested = `(join .ContainerArgs ` + nested + `)`
	}
	for _, text := range []string{
		`{{range 2000000000}}{{end}}`, `{{range $i := 2000000000}}x{{end}}`, `{{range .ContainerEnv}}{{range $.ContainerEnv}}{{end}}{{end}}`,
		`{{pad .Name 100000000 100000000}}`, `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, `{{block "a" .}}{{end}}`,
		`{{template "tag" .}}`, `{{with .Name}}{{end}}`, `{{if .Name}}x{{end}}`, `{{$x := .Name}}{{$x}}`, `{{printf "%999999999d" 1}}`,
		`{{.}}`, `{{$}}`, `{{json .ContainerEnv}}`, `{{split .Name ""}}`, `{{call .Name}}`, `{{html .Name}}`, `{{len .Name}}`,
		`{{join .ContainerArgs "` + strings.Repeat("x", 4000) + `"}}`, `{{` + nested + `}}`, strings.Repeat(`{{join .ContainerEnv ""}}`, 150),
		strings.Repeat("x", 5000), strings.Repeat("{{.ID}}", 500), `{{.Nope}}`, `{{index .ContainerEnv 2000}}`, `{{slice .Name 5 9}}`,
		`{{.ContainerLabels.x.y.z}}`, `{{(.ExtraAttributes .Name).x}}`, `{{`,
	} {
		allocated := testing.Benchmark(func(b *testing.B) {
			for range 3 {
				tag, problems := fill(t, c, text)
				require.Empty(t, tag)
				require.Len(t, problems, 1, text)
				require.NotContains(t, problems[0].Error(), "K=v")
				require.Less(t, len(problems[0].Error()), 6000)
			}
		}).AllocedBytesPerOp()
		require.Less(t, allocated, int64(1<<20), text)
	}
}

func TestAttributesAreBounded(t *testing.T) {
	c := origin.Container{Labels: map[string]string{"large": strings.Repeat("x", 1<<20), "small": "y"}}
	for i := range 1000 {
		c.Labels[fmt.Sprintf("n%03d", i)] = "v"
	}
	tags, problems := c.Attributes(map[string]string{"labels-regex": "."})
	require.Len(t, tags, 256)
	require.Len(t, problems, 2)
	require.ErrorContains(t, problems[0], `"large" has 1048576 bytes`)
	require.ErrorContains(t, problems[1], "1001 tags")
}

func TestPodTags(t *testing.T) {
	p := origin.Pod{Name: "p", Namespace: "ns", UID: "u", Node: "n", Container: "app"}
	require.Equal(t, map[string]string{"k8s_pod": "p", "k8s_pod_namespace": "ns", "k8s_pod_uid": "u", "k8s_node_name": "n",
		"k8s_container_name": "app", "host": "n"}, asMap(p.Tags("", "h")))
	p.IP, p.HostIP = "10.0.0.1", "192.0.2.1"
	require.Equal(t, "10.0.0.1 192.0.2.1", asMap(p.Tags("", ""))["k8s_pod_ip"]+" "+asMap(p.Tags("", ""))["host_ip"])
	require.Equal(t, "other", asMap(p.Tags("other", "h"))["k8s_container_name"])
	require.Equal(t, map[string]string{"host": "h"}, asMap(origin.Pod{}.Tags("", "h")))
}

func TestAttributes(t *testing.T) {
	c := origin.Container{ID: "0123456789abcdef", Name: "/web", ImageID: "sha256:feedfacecafe0000", ImageName: "nginx:1",
		Daemon: "docker", Labels: map[string]string{"team": "a", "tier": "b", "other": "c"},
		Env: []string{"STAGE=test", "PASSWORD=secret", "broken", "PATH=/bin"}}
	got, problems := c.Attributes(map[string]string{"labels": "team, missing", "labels-regex": "^ti", "env": "STAGE",
		"env-regex": "^PAT", "tag": "{{.Name}}/{{.ID}}/{{.ImageID}}/{{upper .ImageName}}"})
	require.Empty(t, problems)
	require.Equal(t, map[string]string{"team": "a", "tier": "b", "STAGE": "test", "PATH": "/bin",
		"tag": "web/0123456789ab/feedfacecafe/NGINX:1"}, asMap(got))

	got, problems = c.Attributes(nil)
	require.Empty(t, got)
	require.Empty(t, problems)

	got, problems = c.Attributes(map[string]string{"labels": "team", "env-regex": "(", "tag": "{{.Nope}}"})
	require.Equal(t, map[string]string{"team": "a"}, asMap(got))
	require.Len(t, problems, 2)
	for _, p := range problems {
		require.NotContains(t, p.Error(), "secret")
	}
}
