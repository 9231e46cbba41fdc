// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/remora-logs/remora/integration/bench/pod"
)

// vlagent reads only a container runtime's files, and asks Kubernetes about the containers. So the input is in CRI's format,
// and the bench's server knows one Pod. vlagent parses JSON wherever it finds it, and always compresses.
func vlagent(bin string, j *job) (*exec.Cmd, error) {
	switch {
	case j.kafka || j.codec == "gzip" || j.form.name == "docker":
		return nil, fmt.Errorf("%w: it reads what CRI writes, and delivers over HTTP, compressed with zstd", errNoPart)
	case j.parse && j.kind != "json" || !j.parse && j.kind == "json":
		return nil, fmt.Errorf("%w: it takes JSON apart, and nothing else", errNoPart)
	}
	logs := filepath.Join(j.dir, "containers")
	if err := os.Mkdir(logs, 0o755); err != nil {
		return nil, err
	}
	name := pod.Name + "_" + pod.Namespace + "_" + pod.Container + "-" + pod.ContainerID + ".log"
	stored := j.stored
	if stored == "" {
		var err error
		if stored, err = forms["cri"].store(j.dir, j.file); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(stored, filepath.Join(logs, name)); err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(j.dir, "kubeconfig")
	cmd := exec.Command(bin, "-kubernetesCollector", "-kubernetesCollector.logsPath="+logs, "-tmpDataPath="+j.dir,
		"-remoteWrite.url="+j.url()+"/insert/jsonline", "-remoteWrite.format=jsonline",
		fmt.Sprintf("-httpListenAddr=127.0.0.1:%d", j.port+1))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBERNETES_SERVICE_HOST=")
	return cmd, os.WriteFile(kubeconfig, pod.Kubeconfig(j.url()), 0o600)
}
