// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/remora-logs/remora/integration/pod"
)

// throughTheSidecar plays the kubelet for the Pod that users copy, with the writer in place of its application.
func throughTheSidecar() error {
	title("4. The sidecar of deploy/kubernetes/pod.yaml: a file that is rotated while it is written")
	p, err := pod.Load("deploy/kubernetes/pod.yaml")
	if err != nil {
		return err
	}
	beside, err := pod.Sidecar(p, prefix)
	if err != nil {
		return err
	}
	application, err := pod.Application(p, prefix)
	if err != nil {
		return err
	}
	name, file := prefix+p.Spec.InitContainers[0].Name, p.Spec.Containers[0].VolumeMounts[0].MountPath+"/access.log"
	if err := dockerEach(
		run(beside, sidecar),
		run(application, writer, "-name", "request", "-lines", fmt.Sprint(lines), "-rate", "500", "-file", file, "-rotate", "400"),
	); err != nil {
		return err
	}
	fmt.Printf("\n  What the sidecar's console output wrote, as in docker logs %s:\n", name)
	return arrived("request", "", func() (string, error) { return quiet("logs", name) })
}

// run is the command that starts a container with its ordinary log in json-file, whatever the engine's default is.
func run(options []string, image string, args ...string) []string {
	line := append([]string{"run", "--detach", "--log-driver", "json-file"}, options...)
	return append(append(line, image), args...)
}
