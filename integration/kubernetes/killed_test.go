// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// The kubelet rotates all the time, and it and the runtime are killed, while Pods write.
func TestNodeAgentWhileTheNodeIsDisturbed(t *testing.T) {
	if err := node.LogSize(t.Context(), "10Ki"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.LogSize(context.Background(), "1Gi"); err != nil {
			t.Error(err)
		}
	})
	out := runAgent(t, "containerd.yaml")
	follow := func(target string) *verify.Log { return verify.Open(filepath.Join(out, target+".log")) }
	t.Run("rotated", func(t *testing.T) { rotated(t, follow("rotated")) })
	t.Run("killed", func(t *testing.T) { killed(t, follow("killed"), follow("beside")) })
}

// rotated is a Pod whose output the kubelet rotates and compresses every few seconds, of which it keeps the last five files.
func rotated(t *testing.T, log *verify.Log) {
	const lines = 30_000
	p := generatorPod("rotated", map[string]string{"aliyun_logs_rotated": "stdout"}, "-name", "rotated", "-lines", strconv.Itoa(lines), "-rate", "1000", "-hold")
	apply(t, "pod", p.Name, p)
	// Lines keep their order in a file. A file and the one that it was rotated to are two.
	if n := log.Await(t, 2*time.Minute, "rotated", "stdout", lines); n.Twice != 0 {
		t.Errorf("%d lines came twice", n.Twice)
	}
	files, err := filepath.Glob(filepath.Join(node.PodLogs(), "default_rotated_*", "app", "0.log.*.gz"))
	if err != nil || len(files) == 0 {
		t.Errorf("the kubelet has rotated nothing: %v", err)
	}
}

// killed is a Pod that writes to its output and to a file while the runtime and then the kubelet are down. The runtime copies
// the output itself: what it had read and not written when it was killed is lost to everybody.
func killed(t *testing.T, output, file *verify.Log) {
	const lines, runtimeLoses = 30_000, 2_000
	p := generatorPod("killed", map[string]string{"aliyun_logs_killed": "stdout", "aliyun_logs_beside": "/logs/*.log"},
		"-name", "killed", "-lines", strconv.Itoa(lines), "-rate", "1000", "-file", "/logs/a.log", "-also", "-hold")
	p.Spec.Containers[0].VolumeMounts = []core.VolumeMount{{Name: "logs", MountPath: "/logs"}}
	p.Spec.Volumes = []core.Volume{{Name: "logs", VolumeSource: core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{}}}}
	apply(t, "pod", p.Name, p)
	output.Await(t, time.Minute, "killed", "stdout", 1_000)
	for _, server := range []string{"containerd", "kubelet"} { // a kubelet does not start without a runtime
		if err := node.Kill(t.Context(), server, 3*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	file.ExactlyOnce(t, 2*time.Minute, "killed", "", lines)
	engine.Eventually(t, time.Minute, func() (bool, string) {
		output.Read(t)
		return output.Numbers("killed", "stdout").Has(lines - 1), "the last line has not arrived"
	})
	n := output.Numbers("killed", "stdout")
	t.Logf("the runtime has lost %d lines of %d", n.Missing(lines), lines)
	if n.Twice != 0 || n.Missing(lines) > runtimeLoses {
		t.Errorf("%d lines of the output are missing, %d came twice", n.Missing(lines), n.Twice)
	}
}
