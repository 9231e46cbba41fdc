// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"regexp"
	"time"
)

// Some of containerd's containers are listed by other inventories too. Each container is reported by exactly one:
//
//   - Docker's containers, in its namespaces or with its label: by the Docker inventory, which knows their labels and logs.
//   - Sandboxes of Pods: by none. They write nothing.
//   - Containers of Pods: by the CRI or the API server; by this inventory if neither is in use.
//   - Other containers in Kubernetes' namespace: by this inventory, because the CRI does not list them.

// foreign holds the namespaces of Docker's containers and plugins (moby cmd/dockerd, --containerd-namespace).
var foreign = map[string]bool{"moby": true, "plugins.moby": true}

const (
	// dockerLabel is set by Docker on each of its containers (moby daemon/internal/libcontainerd, DockerContainerBundlePath).
	dockerLabel = "com.docker/engine.bundle.path"
	// kindLabel is set by the CRI plugin to the kind of each of its containers (containerd internal/cri/labels).
	kindLabel = "io.cri-containerd.kind"
	sandbox   = "sandbox"
	inPod     = "container"
	// kubernetesNamespace is the only namespace in which the CRI plugin creates containers.
	kubernetesNamespace = "k8s.io"
	// notKubernetes selects, in containerd's filter language, the containers that the CRI plugin has not created.
	notKubernetes = `labels."` + kindLabel + `"!=` + sandbox + `,labels."` + kindLabel + `"!=` + inPod
	// nameLabel is set by nerdctl to a container's name. The ID that it gives the container has 64 digits.
	nameLabel = "nerdctl/name"
)

// ours reports whether this inventory reports a container.
func (i *Inventory) ours(namespace string, r *record) bool {
	if foreign[namespace] || r.labels[dockerLabel] != "" {
		return false
	}
	if namespace != kubernetesNamespace {
		return true
	}
	switch r.labels[kindLabel] {
	case sandbox:
		return false
	case inPod:
		return i.kubernetes
	}
	return true
}

// owner identifies the container that has a name.
type owner struct {
	key     string
	created time.Time
}

// key returns a container's ID in this inventory. The name of a namespace has no slash.
func key(namespace, id string) string { return namespace + "/" + id }

// validName matches the names that nerdctl accepts (nerdctl pkg/identifiers).
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// givenName returns the name in a container's label, or "" if there is none or it is not valid.
func givenName(r *record) string {
	if name := r.labels[nameLabel]; validName.MatchString(name) {
		return name
	}
	return ""
}

// claim records a container as the owner of the name in its label, unless an older container has the name: any client can
// set the label.
func claim(named map[string]owner, namespace string, r *record) {
	name := givenName(r)
	if name == "" {
		return
	}
	now := owner{key(namespace, r.id), r.created}
	before, taken := named[key(namespace, name)]
	if !taken || now.created.Before(before.created) || now.created.Equal(before.created) && now.key < before.key {
		named[key(namespace, name)] = now
	}
}
