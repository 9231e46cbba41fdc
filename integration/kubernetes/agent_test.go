// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

const nodeImage = "docker.io/library/remora-node:latest" // as deploy/docker/node.Dockerfile says

// The node agent as its manifests show it, once by the runtime and once by the API server alone. The node's directories
// are not where others have them, that is all that is changed.
func TestNodeAgent(t *testing.T) {
	for _, way := range []string{"containerd.yaml", "api.yaml"} {
		t.Run(way, func(t *testing.T) {
			out := runAgent(t, way)
			follow := func(target string) *verify.Log { return verify.Open(filepath.Join(out, target+".log")) }
			t.Run("tomcat", func(t *testing.T) { tomcat(t, follow("catalina"), follow("access")) })
			t.Run("restarted", func(t *testing.T) { restarted(t, follow("restarted")) })
			t.Run("deleted", func(t *testing.T) { deleted(t, follow("deleted")) })
			if way == "containerd.yaml" { // which the API server can't tell of
				t.Run("inside", func(t *testing.T) { inside(t, follow("inside")) })
			}
		})
	}
}

// tomcat is the example that every user of log-pilot knows.
func tomcat(t *testing.T, catalina, access *verify.Log) {
	const lines = 20_000
	p := generatorPod("tomcat", map[string]string{"aliyun_logs_catalina": "stdout", "aliyun_logs_access": "/usr/local/tomcat/logs/catalina.*.log"},
		"-name", "tomcat", "-lines", strconv.Itoa(lines), "-rate", "5000", "-file", "/usr/local/tomcat/logs/catalina.2026-01-02.log", "-also", "-hold")
	p.Spec.Containers[0].VolumeMounts = []core.VolumeMount{{Name: "tomcat-log", MountPath: "/usr/local/tomcat/logs"}}
	p.Spec.Volumes = []core.Volume{{Name: "tomcat-log", VolumeSource: core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{}}}}
	apply(t, "pod", p.Name, p)
	catalina.Each = func(t testing.TB, r *verify.Record) {
		for key, want := range map[string]string{"k8s_pod": "tomcat", "k8s_pod_namespace": "default", "k8s_container_name": "app", "stream": "stdout"} {
			if got := r.Members(t)[key]; got != want {
				t.Fatalf("%s is %v, want %s", key, got, want)
			}
		}
	}
	catalina.ExactlyOnce(t, 2*time.Minute, "tomcat", "stdout", lines)
	access.ExactlyOnce(t, time.Minute, "tomcat", "", lines)
}

// restarted is a container that ends and is started again in its Pod: its file in the emptyDir continues where it was.
func restarted(t *testing.T, log *verify.Log) {
	const lines = 3_000
	p := generatorPod("restarted", map[string]string{"aliyun_logs_restarted": "/logs/*.log"}, "-name", "restarted", "-lines", strconv.Itoa(lines), "-rate", "3000",
		"-file", "/logs/a.log")
	p.Spec.RestartPolicy = core.RestartPolicyAlways
	p.Spec.Containers[0].VolumeMounts = []core.VolumeMount{{Name: "logs", MountPath: "/logs"}}
	p.Spec.Volumes = []core.Volume{{Name: "logs", VolumeSource: core.VolumeSource{EmptyDir: &core.EmptyDirVolumeSource{}}}}
	apply(t, "pod", p.Name, p)
	log.Await(t, time.Minute, "restarted", "", lines)
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		n := log.Numbers("restarted", "").Twice
		return n >= lines, strconv.Itoa(n) + " lines of the second life have arrived"
	})
	time.Sleep(2 * time.Second)
	log.Read(t)
	if n := log.Numbers("restarted", "").Twice; n != lines {
		t.Errorf("%d lines came again, not the %d of the second life", n, lines)
	}
}

// deleted is a Pod that is deleted while it writes: the directory with its output is removed soon after.
func deleted(t *testing.T, log *verify.Log) {
	p := generatorPod("deleted", map[string]string{"aliyun_logs_deleted": "stdout"}, "-name", "deleted", "-lines", "-1", "-rate", "3000")
	apply(t, "pod", p.Name, p)
	started(t, p.Name)
	time.Sleep(3 * time.Second)
	kubectl(t, "delete", "pod", p.Name, "--grace-period", "5", "--wait")
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		return log.Numbers("deleted", "stdout").Has(3000), "not even three thousand lines have arrived"
	})
	time.Sleep(3 * time.Second)
	log.Read(t)
	n := log.Numbers("deleted", "stdout")
	last := 0
	for n.Has(last) {
		last++
	}
	if missing := n.Missing(last + 1000); missing != 1000 {
		t.Errorf("lines are missing before the last one: %s", n.Holes(last+1000))
	}
}

// inside is a file in the container's root file system.
func inside(t *testing.T, log *verify.Log) {
	const lines = 5_000
	p := generatorPod("inside", map[string]string{"aliyun_logs_inside": "/app-*.log"}, "-name", "inside", "-lines", strconv.Itoa(lines), "-rate", "5000",
		"-file", "/app-1.log", "-hold")
	apply(t, "pod", p.Name, p)
	log.ExactlyOnce(t, 2*time.Minute, "inside", "", lines)
}

// generatorPod is a Pod of the generator.
func generatorPod(name string, env map[string]string, args ...string) *core.Pod {
	grace := int64(5)
	p := &core.Pod{
		TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: core.PodSpec{TerminationGracePeriodSeconds: &grace, RestartPolicy: core.RestartPolicyNever,
			Containers: []core.Container{{Name: "app", Image: generator, ImagePullPolicy: core.PullNever, Args: args}}},
	}
	for key, value := range env {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, core.EnvVar{Name: key, Value: value})
	}
	return p
}

// runAgent applies a manifest and returns the directory that the agent delivers to.
func runAgent(t *testing.T, manifest string) (out string) {
	t.Helper()
	out = filepath.Join(node.PodLogs(), "..", "out-"+manifest)
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	text := adjusted(t, filepath.Join("deploy", "node", manifest), out)
	if _, err := node.Kubectl(text, "apply", "--filename", "-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := node.Kubectl("", "logs", "--namespace", "remora", "daemonset/remora-node", "--tail", "60")
			state, _ := node.Kubectl("", "describe", "pods", "--namespace", "remora")
			t.Logf("what the agent said:\n%.6000s\n%.4000s", logs, state)
		}
		if _, err := node.Kubectl("", "delete", "namespace", "remora", "--wait"); err != nil {
			t.Error(err)
		}
	})
	kubectl(t, "rollout", "status", "--namespace", "remora", "daemonset/remora-node", "--timeout", "2m")
	return out
}

// adjusted is a file of manifests below the repository's root, in which adjust has changed the agent.
func adjusted(t *testing.T, path, out string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	var objects [][]byte
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		var d apps.DaemonSet
		if err := yaml.Unmarshal(document, &d); err != nil {
			t.Fatal(err)
		}
		if d.Kind == "DaemonSet" {
			adjust(&d.Spec.Template.Spec, out)
			if document, err = yaml.Marshal(&d); err != nil {
				t.Fatal(err)
			}
		}
		objects = append(objects, document)
	}
	return string(bytes.Join(objects, []byte("\n---\n")))
}

// adjust changes where the node's directories are, and sends records to out.
func adjust(spec *core.PodSpec, out string) {
	c := &spec.Containers[0]
	c.ImagePullPolicy = core.PullNever
	spec.HostNetwork = true // there is nothing here that forwards a Service's address
	places := map[string]string{"pod-logs": node.PodLogs(), "kubelet": filepath.Join(node.Kubelet(), "pods"), "containerd": node.Runtime(),
		"runtime": node.State(), "state": filepath.Join(out, "state"), "kubernetes": filepath.Join(out, "kubernetes")}
	for i := range spec.Volumes {
		if place := places[spec.Volumes[i].Name]; place != "" {
			spec.Volumes[i].HostPath.Path = place
		}
	}
	for i := range c.VolumeMounts {
		if m := &c.VolumeMounts[i]; m.Name != "state" && places[m.Name] != "" {
			m.MountPath = "/host" + places[m.Name]
		}
	}
	socket := core.HostPathSocket
	create := core.HostPathDirectoryOrCreate
	spec.Volumes = append(spec.Volumes,
		core.Volume{Name: "socket", VolumeSource: core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: node.Socket(), Type: &socket}}},
		core.Volume{Name: "out", VolumeSource: core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: out, Type: &create}}})
	c.VolumeMounts = append(c.VolumeMounts, core.VolumeMount{Name: "socket", MountPath: node.Socket()}, core.VolumeMount{Name: "out", MountPath: "/out"})
	for key, value := range map[string]string{
		"LOGGING_OUTPUT": "file", "FILE_PATH": "/out", "FILE_ROTATE_SIZE": "1048576", "REMORA_POD_LOGS": node.PodLogs(),
		"REMORA_KUBELET_DIR": node.Kubelet(), "REMORA_CRI_SOCKET": node.Socket(), "KUBERNETES_SERVICE_HOST": "127.0.0.1",
		"KUBERNETES_SERVICE_PORT": "6443",
	} {
		set := false
		for i := range c.Env {
			if c.Env[i].Name == key {
				c.Env[i].Value, set = value, true
			}
		}
		if !set {
			c.Env = append(c.Env, core.EnvVar{Name: key, Value: value})
		}
	}
}
