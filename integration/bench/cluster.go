// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
)

// nodes, node and pods are as much of Kubernetes' API as vlagent asks for: one node, where one pod with one container runs.

func nodes(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"items": [{"metadata": {"name": %q}}]}`, nodeName)
}

func node(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `{"metadata": {"name": %q}}`, r.PathValue("name"))
}

func pods(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" { // nothing changes for as long as somebody watches
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	fmt.Fprintf(w, `{"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": %q, "namespace": %q},
"spec": {"nodeName": %q, "containers": [{"name": %q}]},
"status": {"containerStatuses": [{"name": %[4]q, "containerID": "containerd://%s"}]}}]}`,
		podName, podNamespace, nodeName, containerName, containerID)
}
