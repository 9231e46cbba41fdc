// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/remora-logs/remora/integration/bench/pod"
)

// vlagent by default keeps its queue and its checkpoints on disk, and retries for ever.
type vlagent struct{}

func (vlagent) name() string { return "vlagent" }

func (vlagent) version(bin string) string {
	return moduleVersion(bin, "github.com/VictoriaMetrics/VictoriaLogs")
}

func (vlagent) form() form { return cri }

func (vlagent) command(bin string, p *place) (*exec.Cmd, error) {
	if p.evil != "" {
		return nil, fmt.Errorf("%w: its protocol knows no index", errNoPart)
	}
	links := filepath.Join(p.dir, "containers")
	if err := os.MkdirAll(links, 0o755); err != nil {
		return nil, err
	}
	link := filepath.Join(links, pod.Name+"_"+pod.Namespace+"_"+pod.Container+"-"+pod.ContainerID+".log")
	if _, err := os.Lstat(link); err != nil {
		if err := os.Symlink(p.logs.path(), link); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(p.dir, "kubeconfig")
	cmd := exec.Command(bin, "-kubernetesCollector", "-kubernetesCollector.logsPath="+links, "-tmpDataPath="+p.state,
		"-remoteWrite.url="+p.url()+"/insert/jsonline", "-remoteWrite.format=jsonline", "-insert.maxLineSizeBytes=4MB",
		"-remoteWrite.sendTimeout=5s", fmt.Sprintf("-httpListenAddr=127.0.0.1:%d", p.port+1))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+config, "KUBERNETES_SERVICE_HOST=")
	return cmd, os.WriteFile(config, pod.Kubeconfig(p.url()), 0o600)
}
