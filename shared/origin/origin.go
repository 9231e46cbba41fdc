// SPDX-License-Identifier: Apache-2.0

// Package origin derives the tags that identify the container of a record from what an engine or Kubernetes knows about it.
package origin

import (
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// Container is the engine's description of a container. Labels and Env may hold secrets: only what the functions of this
// package return may be stored.
type Container struct {
	ID        string
	Name      string // as the engine gives it, with a leading slash
	ImageID   string
	ImageName string
	Daemon    string // the engine's name, for tag templates
	Entry     string // entry point, for tag templates
	Args      []string
	Created   time.Time
	Labels    map[string]string
	Env       []string
}

// table lists the labels that each tag is taken from; the first label that is set counts. docker_* and k8s_* are log-pilot's
// names. Swarm's labels are set by moby daemon/cluster/executor/container/container.go, Kubernetes' by cri-dockerd, as
// dockershim did.
var table = []struct {
	tag    string
	labels []string
}{
	{"docker_app", []string{"com.docker.stack.namespace", "com.docker.compose.project"}},
	{"docker_service", []string{"com.docker.swarm.service.name", "com.docker.compose.service"}},
	{"swarm_service", []string{"com.docker.swarm.service.name"}},
	{"swarm_task", []string{"com.docker.swarm.task.name"}},
	{"swarm_node_id", []string{"com.docker.swarm.node.id"}},
	{"k8s_pod", []string{"io.kubernetes.pod.name"}},
	{"k8s_pod_namespace", []string{"io.kubernetes.pod.namespace"}},
	{"k8s_pod_uid", []string{"io.kubernetes.pod.uid"}},
	{"k8s_container_name", []string{"io.kubernetes.container.name"}},
}

// Tags returns the container's tags. host is the name of the host, and node the name of the Kubernetes node, for which host is
// used if it is empty.
func (c Container) Tags(host, node string) []record.Tag {
	var t tags
	for _, row := range table {
		for _, label := range row.labels {
			if t.add(row.tag, c.Labels[label]) {
				break
			}
		}
	}
	if c.Labels["io.kubernetes.pod.name"] != "" {
		if node == "" {
			node = host
		}
		t.add("k8s_node_name", node)
	}
	t.add("docker_container", strings.TrimPrefix(c.Name, "/"))
	t.add("container_id", c.ID)
	t.add("image", c.ImageName)
	t.add("host", host)
	return t
}

// Pod holds what a sidecar knows about its Pod from the downward API.
type Pod struct {
	Name      string `env:"POD_NAME" doc:"Name of the Pod, from the downward API; becomes the tag k8s_pod"`
	Namespace string `env:"POD_NAMESPACE" doc:"Namespace of the Pod; becomes the tag k8s_pod_namespace"`
	UID       string `env:"POD_UID" doc:"UID of the Pod; becomes the tag k8s_pod_uid"`
	Node      string `env:"NODE_NAME" doc:"Node of the Pod; becomes the tags k8s_node_name and host"`
	IP        string `env:"POD_IP" doc:"IP address of the Pod; becomes the tag k8s_pod_ip"`
	HostIP    string `env:"HOST_IP" doc:"IP address of the node; becomes the tag host_ip"`
	Container string `env:"CONTAINER_NAME" doc:"Container that writes the files, unless a declaration names another; becomes the tag k8s_container_name"`
}

// Tags returns the Pod's tags for files that container writes, by default p.Container. If the node is not known, host is used.
func (p Pod) Tags(container, host string) []record.Tag {
	var t tags
	t.add("k8s_pod", p.Name)
	t.add("k8s_pod_namespace", p.Namespace)
	t.add("k8s_pod_uid", p.UID)
	t.add("k8s_pod_ip", p.IP)
	t.add("k8s_node_name", p.Node)
	t.add("host_ip", p.HostIP)
	if !t.add("k8s_container_name", container) {
		t.add("k8s_container_name", p.Container)
	}
	if !t.add("host", p.Node) {
		t.add("host", host)
	}
	return t
}

// tags is a list without empty values.
type tags []record.Tag

func (t *tags) add(key, value string) bool {
	if value == "" {
		return false
	}
	*t = append(*t, record.Tag{Key: key, Value: value})
	return true
}
