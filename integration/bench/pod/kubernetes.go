// SPDX-License-Identifier: Apache-2.0

// Package pod is the bench's only Pod, and the part of Kubernetes' API that collectors use to ask about it.
package pod

import (
	"fmt"
	"net/http"
)

// Names of the Pod and its container.
const (
	Name        = "shop-web-1"
	Namespace   = "shop"
	UID         = "0123"
	Node        = "node-1"
	Container   = "web"
	ContainerID = "0123456789abcdef"
)

// Handle serves what vlagent asks for: one node, on which one Pod with one container runs.
func Handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/nodes", nodes)
	mux.HandleFunc("GET /api/v1/nodes/{name}", node)
	mux.HandleFunc("GET /api/v1/pods", pods)
}

// Kubeconfig returns a configuration for the API at url.
func Kubeconfig(url string) []byte {
	return fmt.Appendf(nil, `{"current-context": "bench",
"contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
"clusters": [{"name": "bench", "cluster": {"server": %q}}],
"users": [{"name": "bench", "user": {}}]}
`, url)
}

func nodes(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"items": [{"metadata": {"name": %q}}]}`, Node)
}

func node(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `{"metadata": {"name": %q}}`, r.PathValue("name"))
}

func pods(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" { // nothing changes during a watch
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	fmt.Fprintf(w, `{"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": %q, "namespace": %q},
"spec": {"nodeName": %q, "containers": [{"name": %q}]},
"status": {"containerStatuses": [{"name": %[4]q, "containerID": "containerd://%s"}]}}]}`,
		Name, Namespace, Node, Container, ContainerID)
}
