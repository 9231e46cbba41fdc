// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a Kubernetes of one node: etcd, the API server, controller manager, scheduler, containerd and a
// kubelet, as the processes that they are anywhere.
//
// It wants to run as the first process of PID, mount and network namespaces of its own:
//
//	unshare --mount --net --pid --fork --kill-child --mount-proc
//
// So no address of it is the machine's, nothing that it mounts is seen outside, and when that process ends, in whatever
// way, the kernel ends all that it started.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cluster is a running Kubernetes.
type Cluster struct {
	dir       string // holds all that it keeps
	binaries  string // holds kubelet, kubectl, kube-apiserver, kube-controller-manager and kube-scheduler
	processes []*process
}

// Node is the name of its only node.
const Node = "node-1"

// The servers' addresses, all of them on the loopback interface of the network namespace.
const (
	nodeIP    = "10.88.0.1" // because a kubelet does not take 127.0.0.1 for its node's
	apiServer = "https://127.0.0.1:6443"
	etcd      = "http://127.0.0.1:2379"
)

// Start brings a cluster up. binaries is the directory of Kubernetes' programs; etcd, containerd, runc and the CNI plugins
// are the machine's. When ctx ends before the cluster is up, it is stopped.
func Start(ctx context.Context, binaries string) (*Cluster, error) {
	if os.Getpid() != 1 {
		return nil, errors.New("the cluster wants namespaces of its own: run the tests with `make test-kubernetes`")
	}
	dir, err := os.MkdirTemp("", "remora-kubernetes-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, binaries: binaries}
	for _, step := range []func(context.Context) error{c.isolate, c.startRuntime, c.startControl, c.startKubelet, c.awaitNode} {
		if err := step(ctx); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// Stop ends all servers, the last one first, and removes what they kept. Containers that still run are left to the end of
// the PID namespace.
func (c *Cluster) Stop() {
	for _, p := range slices.Backward(c.processes) {
		p.stop()
	}
	removeGroups()
	unmountBelow(c.dir)
	if err := os.RemoveAll(c.dir); err != nil {
		fmt.Fprintln(os.Stderr, "what the cluster kept is not all removed:", err)
	}
}

// Socket is the runtime's, Kubelet the kubelet's directory, PodLogs that of the Pods' logs, Runtime and State are those of the
// runtime.
func (c *Cluster) Socket() string  { return c.socket() }
func (c *Cluster) Kubelet() string { return c.path("kubelet") }
func (c *Cluster) PodLogs() string { return c.path("logs") }
func (c *Cluster) Runtime() string { return c.path("containerd") }
func (c *Cluster) State() string   { return c.path("containerd-state") }

// Volume is the path of a Pod's emptyDir, as the node sees it.
func (c *Cluster) Volume(pod, name string) string {
	return c.path("kubelet", "pods", pod, "volumes", "kubernetes.io~empty-dir", name)
}

// Kubectl runs kubectl with input, and returns what it printed.
func (c *Cluster) Kubectl(input string, args ...string) (string, error) {
	cmd := c.Command(args...)
	cmd.Stdin = strings.NewReader(input)
	return output(cmd)
}

// Command is kubectl about to be run.
func (c *Cluster) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.binaries, "kubectl"), append([]string{"--kubeconfig", c.path("kubeconfig")}, args...)...)
	cmd.Env = c.environ()
	return cmd
}

// awaitNode waits until Pods can be created and run.
func (c *Cluster) awaitNode(ctx context.Context) error {
	return c.await(ctx, "the node", 3*time.Minute, func() error {
		if _, err := c.Kubectl("", "get", "serviceaccount", "default"); err != nil {
			return err
		}
		ready, err := c.Kubectl("", "get", "node", Node, "--output",
			`jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints[*].key}`)
		if err == nil && ready != "True" {
			err = fmt.Errorf("its readiness and taints are %q", ready)
		}
		return err
	})
}

// path is that of something of the cluster's.
func (c *Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}

// write writes a file of the cluster's and returns its path.
func (c *Cluster) write(name, content string) (string, error) {
	path := c.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(content), 0o600)
}

// output runs a command and returns its standard output; its error says what it said on the other one.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return string(out), err
}
