// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// A sidecar is killed by its memory limit while lines keep coming. What kills it is its own output: files in memory count
// against the limit of the container that writes them, and outlive it, so that each new one has the whole limit again.
func TestKilledByItsMemoryLimit(t *testing.T) {
	const lines = 150_000
	p := manual(t, "tight", "-name", "tight", "-lines", fmt.Sprint(lines), "-rate", "5000", "-size", "100",
		"-file", "/var/log/nginx/access.log", "-rotate", "40000", "-hold")
	sidecar := &p.Spec.InitContainers[0]
	limit := sidecar.Resources.Limits[core.ResourceMemory]
	limit.Set(48 << 20)
	sidecar.Resources.Limits[core.ResourceMemory] = limit
	set(sidecar, "LOGGING_OUTPUT=file", "FILE_PATH=/out", "FILE_ROTATE_SIZE=1000000")
	volume(&p.Spec, "out", "/out", core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{Medium: core.StorageMediumMemory}})
	apply(t, "pod", p.Name, p)
	p = started(t, p.Name)
	out := filepath.Join(node.Volume(string(p.UID), "out"), "access.log")

	var killed *core.ContainerStateTerminated
	engine.Eventually(t, 2*time.Minute, func() (bool, string) {
		s := get(t, "tight").Status.InitContainerStatuses[0]
		if killed = s.LastTerminationState.Terminated; killed == nil {
			killed = s.State.Terminated
		}
		return killed != nil && killed.Reason == "OOMKilled", fmt.Sprintf("the sidecar: %+v", s.State)
	})
	engine.Eventually(t, 3*time.Minute, func() (bool, string) {
		n := written(t, out)
		return n.Missing(lines) == 0, fmt.Sprintf("%d of %d lines, missing %s", n.Distinct, lines, n.Holes(lines))
	})
	logs, err := os.Stat(filepath.Join(node.Volume(string(p.UID), "logs"), "access.log"))
	if err != nil || !logs.ModTime().After(killed.FinishedAt.Time) {
		t.Errorf("no lines were written after the sidecar was killed at %v: %v, %v", killed.FinishedAt, logs, err)
	}
	p = get(t, "tight")
	t.Logf("killed %d times; %d lines came twice", p.Status.InitContainerStatuses[0].RestartCount, written(t, out).Twice)
	for _, c := range p.Status.ContainerStatuses {
		if c.RestartCount > 0 {
			t.Errorf("%s was restarted as well", c.Name)
		}
	}
}

// written is count for a file that need not be there yet.
func written(t *testing.T, path string) *verify.Numbers {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return new(verify.Numbers)
	}
	return count(t, path, "tight")
}
