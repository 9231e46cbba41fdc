// SPDX-License-Identifier: Apache-2.0

package origin_test

import (
	"testing"

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

// A template is somebody else's: it must not be able to take our memory.
func TestATagTemplateCannotTakeAllMemory(t *testing.T) {
	c := origin.Container{Name: "/web"}
	allocated := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_, _ = c.Attributes(map[string]string{"tag": `{{pad .Name 100000000 100000000}}`})
		}
	}).AllocedBytesPerOp()
	require.Less(t, allocated, int64(1<<20))
	tags, problems := c.Attributes(map[string]string{"tag": `{{pad .Name 1 2}}`})
	require.Empty(t, problems)
	require.Equal(t, []record.Tag{{Key: "tag", Value: " web  "}}, tags)
}

func TestPodTags(t *testing.T) {
	p := origin.Pod{Name: "p", Namespace: "ns", UID: "u", Node: "n", Container: "app"}
	require.Equal(t, map[string]string{"k8s_pod": "p", "k8s_pod_namespace": "ns", "k8s_pod_uid": "u", "k8s_node_name": "n",
		"k8s_container_name": "app", "host": "n"}, asMap(p.Tags("", "h")))
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
