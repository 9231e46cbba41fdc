// SPDX-License-Identifier: Apache-2.0

// Package deploy tests the files in deploy/ and examples/, and the examples of the pages: each is read as strictly as the
// tool that it is for reads it, and put to use.
package deploy

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/declare"
)

// file is the path of a file below deploy/.
func file(t *testing.T, path ...string) string {
	t.Helper()
	return filepath.Join(append([]string{engine.Root(t), "deploy"}, path...)...)
}

// example is the path of a file below examples/.
func example(t *testing.T, path ...string) string {
	t.Helper()
	return filepath.Join(append([]string{engine.Root(t), "examples"}, path...)...)
}

// strict decodes YAML as `kubectl --validate=strict` does: an unknown or repeated field is an error.
func strict(t *testing.T, path string, object any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, object); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestPodIsStrictlyAPod(t *testing.T) {
	var pod core.Pod
	strict(t, file(t, "kubernetes", "pod.yaml"), &pod)
	if pod.APIVersion != "v1" || pod.Kind != "Pod" {
		t.Errorf("it says that it is a %s of %s", pod.Kind, pod.APIVersion)
	}
	sidecar(t, &pod.Spec)
}

func TestJobIsStrictlyAJob(t *testing.T) {
	var job batch.Job
	strict(t, file(t, "kubernetes", "job.yaml"), &job)
	if job.APIVersion != "batch/v1" || job.Kind != "Job" {
		t.Errorf("it says that it is a %s of %s", job.Kind, job.APIVersion)
	}
	sidecar(t, &job.Spec.Template.Spec)

	var other batch.Job
	strict(t, example(t, "kubernetes", "job.yaml"), &other)
	sidecar(t, &other.Spec.Template.Spec)
}

func TestDeploymentIsStrictlyADeployment(t *testing.T) {
	var d apps.Deployment
	strict(t, example(t, "kubernetes", "deployment.yaml"), &d)
	if d.APIVersion != "apps/v1" || d.Kind != "Deployment" {
		t.Errorf("it says that it is a %s of %s", d.Kind, d.APIVersion)
	}
	if app := d.Spec.Template.Labels["app"]; d.Spec.Selector.MatchLabels["app"] != app {
		t.Errorf("its selector does not match its Pods, which have app=%q", app)
	}
	var tomcat apps.Deployment
	strict(t, example(t, "kubernetes", "tomcat.yaml"), &tomcat)

	sidecar(t, &d.Spec.Template.Spec)
	c := d.Spec.Template.Spec.InitContainers[0]
	for name, p := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Port.String() != c.Ports[0].Name {
			t.Errorf("its %s probe does not ask the port that it opens: %+v", name, p)
		}
	}
}

// sidecar checks what makes a Pod's first init container a sidecar that loses nothing and may do nothing.
func sidecar(t *testing.T, spec *core.PodSpec) {
	t.Helper()
	if len(spec.InitContainers) != 1 {
		t.Fatalf("%d init containers, want one", len(spec.InitContainers))
	}
	c := spec.InitContainers[0]
	if c.RestartPolicy == nil || *c.RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Error("without restartPolicy: Always it is no native sidecar")
	}
	s := c.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.ReadOnlyRootFilesystem == nil ||
		!*s.ReadOnlyRootFilesystem || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Errorf("its security context allows too much: %+v", s)
	}
	if grace := spec.TerminationGracePeriodSeconds; grace == nil || *grace < 30 {
		t.Error("the grace period is too short for the drain of 25 s")
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		t.Error("enableServiceLinks is not false: Services called kafka or remora would set variables that look like settings")
	}
	volumes := make(map[string]bool)
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	for _, container := range append(slices.Clone(spec.Containers), c) {
		for _, m := range container.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("container %s mounts %s, which is no volume of the Pod", container.Name, m.Name)
			}
		}
	}
}

// project loads a Compose file against the specification's schema, as `docker compose` does.
func project(t *testing.T, path string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{path}, cli.WithName("shop"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// The agent's manifests hold several objects each. None has more rights than it needs.
func TestNodeAgentsAreStrictlyDaemonSets(t *testing.T) {
	for _, name := range []string{
		file(t, "node", "containerd.yaml"), file(t, "node", "docker.yaml"), file(t, "node", "api.yaml"),
		example(t, "kubernetes", "daemonset.yaml"),
	} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		agents := 0
		for _, document := range bytes.Split(content, []byte("\n---\n")) {
			var kind struct{ Kind string }
			if err := yaml.Unmarshal(document, &kind); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			object := map[string]any{
				"Namespace": new(core.Namespace), "ServiceAccount": new(core.ServiceAccount), "ClusterRole": new(rbac.ClusterRole),
				"ClusterRoleBinding": new(rbac.ClusterRoleBinding), "DaemonSet": new(apps.DaemonSet), "ConfigMap": new(core.ConfigMap),
			}[kind.Kind]
			if object == nil {
				t.Fatalf("%s: a %q was not expected", name, kind.Kind)
			}
			if err := yaml.UnmarshalStrict(document, object); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if d, ok := object.(*apps.DaemonSet); ok {
				agents++
				nodeAgent(t, name, &d.Spec.Template.Spec)
			}
			if c, ok := object.(*core.ConfigMap); ok {
				rules, problems := declare.New("").Rules(declare.ReadFile("rules.yaml", []byte(c.Data["rules.yaml"])))
				if len(rules) != 3 || len(problems) > 0 {
					t.Errorf("%s: of its rules %d can be followed: %v", name, len(rules), problems)
				}
			}
		}
		if agents != 1 {
			t.Errorf("%s has %d DaemonSets", name, agents)
		}
	}
}

// nodeAgent checks what the node agent may do.
func nodeAgent(t *testing.T, name string, spec *core.PodSpec) {
	t.Helper()
	if len(spec.Containers) != 1 {
		t.Fatalf("%s: %d containers", name, len(spec.Containers))
	}
	c := spec.Containers[0]
	s := c.SecurityContext
	if s == nil || s.Privileged != nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.Capabilities == nil ||
		!slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, []core.Capability{"DAC_READ_SEARCH"}) {
		t.Errorf("%s: its security context is not the one that the page describes: %+v", name, s)
	}
	for _, m := range c.VolumeMounts {
		if !m.ReadOnly && m.Name != "state" && m.Name != "docker" {
			t.Errorf("%s: %s is mounted writable", name, m.MountPath)
		}
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		t.Errorf("%s: variables of Services would be taken for settings", name)
	}
}

func TestComposeFilesFitTheSchema(t *testing.T) {
	for path, names := range map[string][2]string{
		file(t, "compose", "compose.yml"):    {"web", "worker"},
		example(t, "compose", "compose.yml"): {"web", "worker"},
	} {
		p := project(t, path)
		if got := p.Services[names[0]].Logging; got == nil || got.Driver != "remora" {
			t.Errorf("%s: %s logs with %+v", path, names[0], got)
		}
		worker, remora := p.Services[names[1]], p.Services["remora"]
		if worker.Volumes[0].Source != remora.Volumes[0].Source {
			t.Errorf("%s: worker and sidecar do not share the volume", path)
		}
	}
}

func TestStacksFitTheSchema(t *testing.T) {
	for _, path := range []string{file(t, "node", "compose.yml"), file(t, "node", "stack.yml")} {
		if p := project(t, path); !slices.Equal(p.Services["node"].CapAdd, []string{"DAC_READ_SEARCH"}) {
			t.Errorf("%s: the agent has other capabilities than the page describes", path)
		}
	}
	for _, path := range []string{file(t, "swarm", "stack.yml"), example(t, "swarm", "stack.yml")} {
		if got := project(t, path).Services["web"].Logging; got == nil || got.Driver != "remora" {
			t.Errorf("%s: web logs with %+v", path, got)
		}
	}
}

// The strictness itself is tested, for a check that lets everything pass is none.
func TestMistakesAreFound(t *testing.T) {
	content, err := os.ReadFile(file(t, "kubernetes", "pod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Replace(content, []byte("initContainers:"), []byte("initContainer:"), 1)
	if err := yaml.UnmarshalStrict(wrong, new(core.Pod)); err == nil {
		t.Error("a Pod with a misspelt key has passed")
	}
	content, err = os.ReadFile(file(t, "compose", "compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "compose.yml")
	wrong = bytes.Replace(content, []byte("logging:"), []byte("loging:"), 1)
	if err := os.WriteFile(path, wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := cli.NewProjectOptions([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.LoadProject(context.Background()); err == nil {
		t.Error("a Compose file with a misspelt key has passed")
	}
}
