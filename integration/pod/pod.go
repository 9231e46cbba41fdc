// SPDX-License-Identifier: Apache-2.0

// Package pod plays the kubelet with docker: it turns the Pod of deploy/kubernetes into the `docker run` that comes to
// the same thing, so that demo and tests use the very file that users copy.
package pod

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Load reads a Pod from a file, strictly.
func Load(path string) (*core.Pod, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var p core.Pod
	if err := yaml.UnmarshalStrict(content, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &p, nil
}

// Template reads the Pod that a Deployment or a Job makes, strictly.
func Template(path string) (*core.Pod, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kind struct{ Kind string }
	if err := yaml.Unmarshal(content, &kind); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var d apps.Deployment
	var j batch.Job
	var template *core.PodTemplateSpec
	var name string
	switch kind.Kind {
	case "Deployment":
		err = yaml.UnmarshalStrict(content, &d)
		name, template = d.Name, &d.Spec.Template
	case "Job":
		err = yaml.UnmarshalStrict(content, &j)
		name, template = j.Name, &j.Spec.Template
	default:
		err = fmt.Errorf("a %q has no Pod that this package knows", kind.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p := &core.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	p.Name = name
	return p, nil
}

// Volumes names the docker volumes that stand for the Pod's: each prefixed, so that they are somebody's own.
func Volumes(p *core.Pod, prefix string) []string {
	var names []string
	for _, v := range p.Spec.Volumes {
		names = append(names, prefix+v.Name)
	}
	return names
}

// Sidecar is the options of `docker run` for the Pod's first init container, without its image and arguments.
func Sidecar(p *core.Pod, prefix string) ([]string, error) {
	if len(p.Spec.InitContainers) == 0 {
		return nil, fmt.Errorf("the Pod %s has no sidecar", p.Name)
	}
	return options(p, &p.Spec.InitContainers[0], prefix)
}

// Application is the same for the Pod's first container.
func Application(p *core.Pod, prefix string) ([]string, error) {
	if len(p.Spec.Containers) == 0 {
		return nil, fmt.Errorf("the Pod %s has no container", p.Name)
	}
	return options(p, &p.Spec.Containers[0], prefix)
}

func options(p *core.Pod, c *core.Container, prefix string) ([]string, error) {
	args := []string{"--name", prefix + c.Name, "--network", "none"}
	for _, e := range c.Env {
		value, err := resolve(p, &e)
		if err != nil {
			return nil, err
		}
		args = append(args, "--env", e.Name+"="+value)
	}
	for _, m := range c.VolumeMounts {
		mount := prefix + m.Name + ":" + m.MountPath
		if m.ReadOnly {
			mount += ":ro"
		}
		args = append(args, "--volume", mount)
	}
	if limit, ok := c.Resources.Limits[core.ResourceMemory]; ok {
		args = append(args, "--memory", strconv.FormatInt(limit.Value(), 10))
	}
	return append(args, confinement(c.SecurityContext)...), nil
}

// confinement is what the security context takes away.
func confinement(s *core.SecurityContext) []string {
	if s == nil {
		return nil
	}
	var args []string
	if s.RunAsUser != nil && s.RunAsGroup != nil {
		args = append(args, "--user", fmt.Sprintf("%d:%d", *s.RunAsUser, *s.RunAsGroup))
	}
	if s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem {
		args = append(args, "--read-only")
	}
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		args = append(args, "--security-opt", "no-new-privileges")
	}
	if s.Capabilities != nil && slices.Contains(s.Capabilities.Drop, "ALL") {
		args = append(args, "--cap-drop", "ALL")
	}
	return args
}

// resolve is what the kubelet would put into the variable.
func resolve(p *core.Pod, e *core.EnvVar) (string, error) {
	if e.ValueFrom == nil {
		return e.Value, nil
	}
	if e.ValueFrom.FieldRef == nil {
		return "", fmt.Errorf("%s comes from something else than a field of the Pod", e.Name)
	}
	switch field := e.ValueFrom.FieldRef.FieldPath; field {
	case "metadata.name":
		return p.Name, nil
	case "metadata.namespace":
		return "default", nil
	case "metadata.uid":
		return "00000000-0000-4000-8000-000000000001", nil
	case "spec.nodeName":
		return os.Hostname()
	default:
		return "", fmt.Errorf("%s comes from %s, which is not known here", e.Name, field)
	}
}
