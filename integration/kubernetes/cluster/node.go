// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// pauseImage is the image of every Pod's first container.
const pauseImage = "docker.io/library/remora-pause:latest"

// socket is containerd's.
func (c *Cluster) socket() string { return c.path("containerd.sock") }

// startRuntime starts containerd, and waits until it answers. A process without CAP_SYS_RESOURCE can't lower its OOM
// score, which restrict_oom_score_adj takes into account.
func (c *Cluster) startRuntime(ctx context.Context) error {
	if _, err := c.write("cni/10-pods.conflist", fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "pods0", "isGateway": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.87.0.0/16"}]], "dataDir": %q}
  }]
}
`, c.path("addresses"))); err != nil {
		return err
	}
	config, err := c.write("containerd.toml", fmt.Sprintf(`
version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = %q
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %q
`, c.path("containerd"), c.path("containerd-state"), c.socket(), c.path("containerd-opt"), pauseImage, c.path("cni")))
	if err != nil {
		return err
	}
	if err := c.launch("containerd", "--config", config); err != nil {
		return err
	}
	return c.await(ctx, "containerd", time.Minute, func() error {
		_, err := output(c.ctr("version"))
		return err
	})
}

// ctr is containerd's client about to be run, in the namespace that its CRI uses.
func (c *Cluster) ctr(args ...string) *exec.Cmd {
	return exec.Command("ctr", append([]string{"--address", c.socket(), "--namespace", "k8s.io"}, args...)...)
}

// startKubelet starts the kubelet. It manages no control groups but the containers', so that it gets along without an
// init system and with either version of them; it does not mind a disk that is almost full; and it gives no Pod the
// machine's resolver, which can't be reached from here.
func (c *Cluster) startKubelet(context.Context) error {
	resolver, err := c.write("resolv.conf", "nameserver 127.0.0.1\n")
	if err != nil {
		return err
	}
	config, err := c.write("kubelet.yaml", fmt.Sprintf(`
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: "unix://%[2]s"
cgroupDriver: cgroupfs
cgroupRoot: /%[3]s
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
containerLogMaxSize: 1Gi
podLogsDir: "%[4]s"
volumePluginDir: "%[5]s"
resolvConf: "%[6]s"
`, nodeIP, c.socket(), groups, c.path("logs"), c.path("plugins"), resolver))
	if err != nil {
		return err
	}
	return c.launch(filepath.Join(c.binaries, "kubelet"), "--config", config, "--kubeconfig", c.path("kubeconfig"),
		"--root-dir", c.path("kubelet"), "--cert-dir", c.path("certificates", "kubelet"),
		"--hostname-override", Node, "--node-ip", nodeIP)
}
