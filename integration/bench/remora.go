// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/remora-logs/remora/integration/bench/pod"
)

// remora is the sidecar with all its tags and its checkpoints. If a node agent reads what a runtime stores, the sidecar reads
// the same lines unwrapped: the figure that the agent should come close to.
func remora(_ string, j *job) (*exec.Cmd, error) {
	cmd := exec.Command(filepath.Join(j.bins, "remora-sidecar"))
	cmd.Env = append(os.Environ(),
		"aliyun_logs_bench="+j.file, "REMORA_STATE_DIR="+j.dir, "LOGGING_OUTPUT=elasticsearch",
		"ELASTICSEARCH_HOSTS="+j.url(), "ELASTICSEARCH_INDEX=bench", "POD_NAME=shop-web-1", "POD_NAMESPACE=shop", "POD_UID=0123",
		"NODE_NAME=node-1", "CONTAINER_NAME=web")
	if j.parse {
		cmd.Env = append(cmd.Env, "aliyun_logs_bench_format="+j.kind)
	}
	if j.codec != "" {
		cmd.Env = append(cmd.Env, "ELASTICSEARCH_COMPRESSION="+j.codec)
	}
	if j.kafka {
		cmd.Env = append(cmd.Env, "LOGGING_OUTPUT=kafka", fmt.Sprintf("KAFKA_BROKERS=127.0.0.1:%d", j.port))
	}
	return cmd, nil
}

// remoraLines is the sidecar with the output that posts JSON lines, as vlagent sends them and with vlagent's compression.
func remoraLines(_ string, j *job) (*exec.Cmd, error) {
	if j.codec != "zstd" {
		return nil, fmt.Errorf("%w: it is here for who sends JSON lines with zstd", errNoPart)
	}
	cmd, err := remora("", j)
	cmd.Env = append(cmd.Env, "LOGGING_OUTPUT=http", "HTTP_URL="+j.url()+"/insert/jsonline", "HTTP_COMPRESSION="+j.codec)
	return cmd, err
}

// nodeAgent is the node agent for the bench's only container, with all tags that it knows about it.
func nodeAgent(_ string, j *job) (*exec.Cmd, error) {
	if j.form.name == "" {
		return nil, fmt.Errorf("%w: it reads what a container runtime stores", errNoPart)
	}
	cmd := exec.Command(filepath.Join(j.bins, "remora-node"))
	cmd.Env = append(os.Environ(),
		"REMORA_HOST_ROOT="+j.root, "REMORA_DEFAULT_COLLECT=stdout", "REMORA_STATE_DIR="+j.dir, "NODE_NAME="+pod.Node,
		"REMORA_CRI_SOCKET=/nowhere.sock", "DOCKER_HOST=unix:///nowhere.sock", "LOGGING_OUTPUT=elasticsearch",
		"ELASTICSEARCH_HOSTS="+j.url(), "ELASTICSEARCH_INDEX=bench")
	if j.form.name == "docker" {
		cmd.Env = append(cmd.Env, fmt.Sprintf("DOCKER_HOST=tcp://127.0.0.1:%d", j.port))
	}
	if j.codec != "" {
		cmd.Env = append(cmd.Env, "ELASTICSEARCH_COMPRESSION="+j.codec)
	}
	return cmd, nil
}
