// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/verify"
)

// The Job of deploy/kubernetes, with files on the node in Kafka's place: its application writes 100,000 lines in one
// second and ends. All are delivered, and the Job completes although the sidecar never ends by itself.
func TestJobCompletesWithAllDelivered(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var job batch.Job
	if err := yaml.UnmarshalStrict(content, &job); err != nil {
		t.Fatal(err)
	}
	dir, spec := writable(t), &job.Spec.Template.Spec
	unset(&spec.InitContainers[0], "KAFKA_")
	set(&spec.InitContainers[0], "LOGGING_OUTPUT=file", "FILE_PATH=/out", "FILE_ROTATE_SIZE=1000000", "FILE_PERMISSIONS=0644")
	volume(spec, "out", "/out", core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: dir}})

	began := time.Now()
	apply(t, "job", "report", &job)
	kubectl(t, "wait", "job", "report", "--for", "condition=Complete", "--timeout", "2m")
	t.Logf("the Job has completed after %v", time.Since(began).Round(time.Millisecond))
	n := count(t, filepath.Join(dir, "report.log"), "report")
	if ok, state := complete(n, reportLines); !ok || n.Disorder > 0 {
		t.Errorf("%s, %d out of order", state, n.Disorder)
	}
	ended := kubectl(t, "get", "pods", "--selector", "job-name=report", "--output",
		"jsonpath={.items[*].status.initContainerStatuses[0].state.terminated.exitCode}")
	if ended != "0" {
		t.Errorf("the sidecar ended with %q, want one that ended with 0", ended)
	}
}

// writable is a directory of the node's that the sidecar's user may write to.
func writable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "remora-out-") // t.TempDir's parents are closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	return dir
}

// count is the application's lines in a file that the sidecar has written.
func count(t *testing.T, path, name string) *verify.Numbers {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := verify.Count(f, name, "")
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return n
}
