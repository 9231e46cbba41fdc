// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"time"
)

// Node is what the node agent can be set to beside Common.
type Node struct {
	Outputs        []string      `env:"LOGGING_OUTPUT" envDefault:"console" doc:"Outputs that records go to, separated by commas"`
	StateDir       string        `env:"REMORA_STATE_DIR" envDefault:"/var/lib/remora" doc:"Directory of the checkpoints. It has to survive the agent: put it on the host"`
	Runtime        []string      `env:"REMORA_RUNTIME" envDefault:"auto" doc:"Where containers are found: auto (whatever answers), or a list of docker, containerd, cri, kubernetes"`
	HostRoot       string        `env:"REMORA_HOST_ROOT" doc:"Where the host's root is mounted. By default /host where that holds proc or var, else /"`
	DockerHost     string        `env:"DOCKER_HOST" envDefault:"unix:///var/run/docker.sock" doc:"Address of the Docker engine: unix:///PATH or tcp://HOST:PORT"`
	DockerVerify   string        `env:"DOCKER_TLS_VERIFY" doc:"If not empty, verify the engine's certificate"`
	DockerCerts    string        `env:"DOCKER_CERT_PATH" doc:"Directory with ca.pem, cert.pem and key.pem for the engine"`
	CRISocket      string        `env:"REMORA_CRI_SOCKET" doc:"Socket of the runtime's CRI. By default that of containerd, CRI-O, k3s, k0s, MicroK8s or cri-dockerd, whichever is there"`
	Containerd     string        `env:"CONTAINERD_ADDRESS" doc:"Socket of containerd. By default /run/containerd/containerd.sock, or that of k3s, k0s or MicroK8s, whichever is there"`
	PodLogs        string        `env:"REMORA_POD_LOGS" envDefault:"/var/log/pods" doc:"The kubelet's directory of logs (podLogsDir)"`
	Kubelet        string        `env:"REMORA_KUBELET_DIR" envDefault:"/var/lib/kubelet" doc:"The kubelet's own directory, for the volumes of Pods that the API server lists"`
	NodeName       string        `env:"NODE_NAME" doc:"Name of the node, from spec.nodeName: becomes the tag k8s_node_name; also selects the Pods to ask the API server for"`
	HostIP         string        `env:"HOST_IP" doc:"IP address of the node, from status.hostIP: becomes the tag host_ip"`
	ConfigFile     string        `env:"REMORA_CONFIG" doc:"YAML file with settings, rules and outputs of a name, watched for changes"`
	DefaultCollect string        `env:"REMORA_DEFAULT_COLLECT" envDefault:"none" doc:"What is collected of a container that declares nothing and that no rule chooses: none or stdout"`
	DefaultTarget  string        `env:"REMORA_DEFAULT_TARGET" envDefault:"stdout" doc:"Target of output that is collected by default"`
	LabelTags      []string      `env:"REMORA_LABEL_TAGS" doc:"Labels of containers and Pods that become tags: names, separated by commas"`
	ReadFrom       string        `env:"REMORA_READ_FROM" envDefault:"beginning" doc:"Where to start in existing files: beginning or end"`
	IgnoreOlder    time.Duration `env:"REMORA_IGNORE_OLDER" doc:"Existing files that were not modified for this long are skipped"`
	PartialTimeout time.Duration `env:"REMORA_PARTIAL_TIMEOUT" envDefault:"5s" doc:"Time after which a long line whose end does not come is sent as it is"`
	DropPageCache  bool          `env:"REMORA_DROP_PAGE_CACHE" envDefault:"false" doc:"Release the page cache of what was delivered, which counts against the agent's memory"`
	MaxDeleted     int64         `env:"REMORA_MAX_DELETED_BYTES" envDefault:"1073741824" doc:"Maximum disk space, in bytes, that removed files may hold until they are delivered"`
	MaxOpen        int           `env:"REMORA_MAX_OPEN_FILES" doc:"Maximum number of open files. By default half of what the process may open, at most 1024"`
	DrainTimeout   time.Duration `env:"REMORA_DRAIN_TIMEOUT" envDefault:"10s" doc:"How long SIGTERM waits until files that were removed are delivered: they can't be read again after a restart"`
}

// OutputNames returns the names in LOGGING_OUTPUT.
func (n *Node) OutputNames() []string { return n.Outputs }

// Check implements settings.Checker.
func (n *Node) Check() error {
	wrong := []error{
		oneOf("REMORA_DEFAULT_COLLECT", n.DefaultCollect, "none", "stdout"),
		oneOf("REMORA_READ_FROM", n.ReadFrom, "beginning", "end"),
		atLeast("REMORA_MAX_OPEN_FILES", int64(n.MaxOpen), 0),
		atLeast("REMORA_MAX_DELETED_BYTES", n.MaxDeleted, 0),
		positive("REMORA_PARTIAL_TIMEOUT", n.PartialTimeout),
	}
	for _, name := range n.Runtime {
		wrong = append(wrong, oneOf("REMORA_RUNTIME", name, "auto", "docker", "containerd", "cri", "kubernetes"))
	}
	return errors.Join(wrong...)
}
