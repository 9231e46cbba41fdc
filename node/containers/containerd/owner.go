// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"regexp"
	"time"
)

// Other inventories have some of containerd's containers, and each container is reported by one:
//
//   - Docker's, in namespaces of its own or with its label, by the Docker inventory, which knows their labels and logs.
//   - Pods' sandboxes by nobody: they write nothing.
//   - Containers of Pods by the CRI or the API server, unless neither is asked. What others make in Kubernetes' namespace is
//     not known there, and is this inventory's.

// foreign are the namespaces of Docker's containers and plugins (moby cmd/dockerd, --containerd-namespace).
var foreign = map[string]bool{"moby": true, "plugins.moby": true}

const (
	// dockerLabel is Docker's on each container it makes (moby daemon/internal/libcontainerd, DockerContainerBundlePath).
	dockerLabel = "com.docker/engine.bundle.path"
	// kindLabel is the CRI's on each container it makes, with its kind (containerd internal/cri/labels).
	kindLabel = "io.cri-containerd.kind"
	sandbox   = "sandbox"
	inPod     = "container"
	// kubernetesNamespace is the only one in which the CRI makes containers.
	kubernetesNamespace = "k8s.io"
	// notKubernetes selects what the CRI has not made, in containerd's language of filters.
	notKubernetes = `labels."` + kindLabel + `"!=` + sandbox + `,labels."` + kindLabel + `"!=` + inPod
	// nameLabel is nerdctl's, which names its containers with 64 digits.
	nameLabel = "nerdctl/name"
)

// ours reports whether a container is this inventory's to report.
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

// owner is the container that has a name.
type owner struct {
	key     string
	created time.Time
}

// key is a container's ID in this inventory. No namespace has a slash in its name.
func key(namespace, id string) string { return namespace + "/" + id }

// validName is what nerdctl takes as a name (nerdctl pkg/identifiers).
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// givenName is the name that a label gives a container; empty where there is none, or none that can be one.
func givenName(r *record) string {
	if name := r.labels[nameLabel]; validName.MatchString(name) {
		return name
	}
	return ""
}

// claim gives a container the name that its label says, unless an older one has it: any client can set the label.
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
