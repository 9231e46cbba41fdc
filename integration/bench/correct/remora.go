// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/remora-logs/remora/integration/bench/pod"
)

// sidecar is Remora's sidecar without optional settings.
type sidecar struct{}

func (sidecar) name() string { return "remora-sidecar" }

func (sidecar) version(bin string) string { return saidVersion(bin, "--version") }

func (sidecar) form() form { return plain }

func (sidecar) command(bin string, p *place) (*exec.Cmd, error) {
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), "REMORA_STATE_DIR="+p.state, "LOGGING_OUTPUT=elasticsearch", "ELASTICSEARCH_HOSTS="+p.url(),
		"ELASTICSEARCH_INDEX={target}", "POD_NAME="+pod.Name, "POD_NAMESPACE="+pod.Namespace)
	for _, s := range p.streams() {
		cmd.Env = append(cmd.Env, fmt.Sprintf("aliyun_logs_%s=%s", s.name, s.path), fmt.Sprintf("aliyun_logs_%s_target=%s", s.name, s.index))
	}
	return cmd, nil
}

// nodeAgent is Remora's node agent without optional settings.
type nodeAgent struct{}

func (nodeAgent) name() string { return "remora-node" }

func (nodeAgent) version(bin string) string { return saidVersion(bin, "--version") }

func (nodeAgent) form() form { return cri }

func (nodeAgent) command(bin string, p *place) (*exec.Cmd, error) {
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), "REMORA_HOST_ROOT="+p.root, "REMORA_DEFAULT_COLLECT=stdout", "REMORA_STATE_DIR="+p.state,
		"NODE_NAME="+pod.Node, "REMORA_CRI_SOCKET=/nowhere.sock", "DOCKER_HOST=unix:///nowhere.sock", "LOGGING_OUTPUT=elasticsearch",
		"ELASTICSEARCH_HOSTS="+p.url(), "ELASTICSEARCH_INDEX=bench")
	return cmd, nil
}
