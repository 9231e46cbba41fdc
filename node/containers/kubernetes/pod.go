// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/remora-logs/remora/node/containers"
)

// pod is the part of a Pod that is used. Nothing else is decoded.
type pod struct {
	Metadata struct {
		Namespace, Name, UID, ResourceVersion string
		Labels, Annotations                   map[string]string
		OwnerReferences                       []struct {
			Kind, Name string
			Controller bool
		}
	}
	Spec struct {
		NodeName, ServiceAccountName                    string
		InitContainers, Containers, EphemeralContainers []containerSpec
		Volumes                                         []volume
	}
	Status struct {
		Phase, HostIP, PodIP                                                 string
		InitContainerStatuses, ContainerStatuses, EphemeralContainerStatuses []containerStatus
	}
}

type containerSpec struct {
	Name, Image string
	Env         []struct {
		Name, Value string
		ValueFrom   *struct {
			FieldRef         *struct{ FieldPath string }
			ConfigMapKeyRef  *keyRef
			SecretKeyRef     *keyRef
			ResourceFieldRef *struct{ Resource string }
		}
	}
	EnvFrom []struct {
		Prefix       string
		ConfigMapRef *struct {
			Name     string
			Optional bool
		}
		SecretRef *struct{ Name string }
	}
	VolumeMounts []struct{ Name, MountPath, SubPath, SubPathExpr string }
}

type keyRef struct {
	Name, Key string
	Optional  bool
}

type containerStatus struct {
	Name, ImageID, ContainerID string
	RestartCount               int
	State                      struct {
		Running *struct{}
	}
}

// volume is a Pod's volume. Its kind decides where the kubelet mounts it.
type volume struct {
	Name     string
	HostPath *struct{ Path string }
	EmptyDir, ConfigMap, Projected, DownwardAPI,
	NFS, CSI *struct{}
	PersistentVolumeClaim *struct{ ClaimName string }
}

// containers returns the Pod's containers.
func (i *Inventory) containers(ctx context.Context, p *pod) (all []containers.Container) {
	statuses := map[string]containerStatus{}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses) {
		statuses[s.Name] = s
	}
	volumes := i.volumes(ctx, p)
	for _, spec := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers, p.Spec.EphemeralContainers) {
		s := statuses[spec.Name]
		c := containers.Container{
			Runtime: Name, ID: p.Metadata.UID + "/" + spec.Name, Image: spec.Image, ImageID: s.ImageID, Detailed: true,
			Running: s.State.Running != nil, Pod: p.identity(spec.Name),
		}
		c.Name = fmt.Sprintf("k8s_%s_%s_%s_%s_%d", spec.Name, c.Pod.Name, c.Pod.Namespace, c.Pod.UID, s.RestartCount)
		c.Log = containers.Log{Driver: "cri", Form: containers.CRI, Pattern: containers.PodLogs,
			Dir: filepath.Join(i.options.PodLogs, c.Pod.Namespace+"_"+c.Pod.Name+"_"+c.Pod.UID, spec.Name)}
		c.Env, c.Unresolved = i.env(ctx, p, &spec)
		c.Files.Mounts, c.Files.Volumes = mounts(&spec, volumes, c.Env)
		all = append(all, c)
	}
	return all
}

// identity returns the Pod of one of its containers. A static Pod has one UID for the kubelet and another for the API server;
// identity returns the kubelet's.
func (p *pod) identity(container string) containers.Pod {
	m := &p.Metadata
	id := containers.Pod{Namespace: m.Namespace, Name: m.Name, UID: m.UID, Container: container, Labels: m.Labels,
		Annotations: m.Annotations, Owner: p.owner()}
	if hash := m.Annotations["kubernetes.io/config.mirror"]; hash != "" {
		id.UID = hash
	}
	return id
}

// cronJob matches the name of a Job that a CronJob created: its name, a dash, and the minutes since 1970.
var cronJob = regexp.MustCompile(`^(.+)-\d{8,10}$`)

// owner returns the workload that users know: the Deployment of a ReplicaSet, or the CronJob of a Job. It derives their names
// (pkg/controller/deployment/sync.go, pkg/controller/cronjob/utils.go) without a request.
func (p *pod) owner() containers.Owner {
	for _, o := range p.Metadata.OwnerReferences {
		if !o.Controller {
			continue
		}
		if hash := p.Metadata.Labels["pod-template-hash"]; o.Kind == "ReplicaSet" && hash != "" {
			if name, ok := strings.CutSuffix(o.Name, "-"+hash); ok {
				return containers.Owner{Kind: "Deployment", Name: name}
			}
		}
		if m := cronJob.FindStringSubmatch(o.Name); o.Kind == "Job" && m != nil {
			return containers.Owner{Kind: "CronJob", Name: m[1]}
		}
		return containers.Owner{Kind: o.Kind, Name: o.Name}
	}
	return containers.Owner{}
}

// env returns a container's environment as far as the Pod and ConfigMaps define it, and the names of the variables whose
// values are not known. Secrets are never requested.
func (i *Inventory) env(ctx context.Context, p *pod, c *containerSpec) (env, unresolved []string) {
	values := map[string]string{}
	set := func(name, value string) {
		values[name] = value
		env = append(env, name+"="+value)
	}
	for _, from := range c.EnvFrom {
		switch {
		case from.ConfigMapRef != nil:
			data, err := i.configMap(ctx, p.Metadata.Namespace, from.ConfigMapRef.Name)
			if err != nil {
				unresolved = append(unresolved, from.Prefix+"* (ConfigMap "+from.ConfigMapRef.Name+")")
			}
			for _, key := range sortedKeys(data) {
				set(from.Prefix+key, data[key])
			}
		case from.SecretRef != nil:
			unresolved = append(unresolved, from.Prefix+"* (Secret "+from.SecretRef.Name+")")
		}
	}
	for _, e := range c.Env {
		switch from := e.ValueFrom; {
		case from == nil:
			set(e.Name, expand(e.Value, values))
		case from.FieldRef != nil:
			if value, ok := p.field(from.FieldRef.FieldPath); ok {
				set(e.Name, value)
			} else {
				unresolved = append(unresolved, e.Name)
			}
		case from.ConfigMapKeyRef != nil:
			data, err := i.configMap(ctx, p.Metadata.Namespace, from.ConfigMapKeyRef.Name)
			if value, ok := data[from.ConfigMapKeyRef.Key]; err == nil && ok {
				set(e.Name, value)
			} else if err != nil {
				unresolved = append(unresolved, e.Name)
			}
		default:
			unresolved = append(unresolved, e.Name)
		}
	}
	return env, unresolved
}

// field returns a field of the Pod by its path in the downward API.
func (p *pod) field(fieldPath string) (string, bool) {
	for prefix, m := range map[string]map[string]string{"metadata.labels['": p.Metadata.Labels, "metadata.annotations['": p.Metadata.Annotations} {
		if key, ok := strings.CutPrefix(fieldPath, prefix); ok {
			return m[strings.TrimSuffix(key, "']")], true
		}
	}
	value, ok := map[string]string{
		"metadata.name": p.Metadata.Name, "metadata.namespace": p.Metadata.Namespace, "metadata.uid": p.Metadata.UID,
		"spec.nodeName": p.Spec.NodeName, "spec.serviceAccountName": p.Spec.ServiceAccountName,
		"status.hostIP": p.Status.HostIP, "status.podIP": p.Status.PodIP,
	}[fieldPath]
	return value, ok
}

// expand replaces $(NAME) by its value, as the kubelet does (third_party/forked/golang/expansion): an unknown name stays as
// it is, and $$ stands for a dollar sign.
func expand(text string, values map[string]string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		if text[i+1] == '$' {
			b.WriteByte('$')
			i++
			continue
		}
		end := strings.IndexByte(text[i:], ')')
		if value, known := "", false; text[i+1] == '(' && end > 0 {
			if value, known = values[text[i+2:i+end]]; known {
				b.WriteString(value)
				i += end
				continue
			}
		}
		b.WriteByte('$')
	}
	return b.String()
}

// mounts maps the paths of a container's mounts to directories of the host. A subPath is resolved in its volume, because the
// kubelet's own mount of it may not be visible to the agent. parts are the directories of volumes that are mounted by subPath:
// links in them must not be followed.
func mounts(c *containerSpec, volumes map[string]string, env []string) (all map[string]string, parts []string) {
	values := map[string]string{}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			values[name] = value
		}
	}
	all = map[string]string{}
	for _, m := range c.VolumeMounts {
		dir := volumes[m.Name]
		if dir == "" {
			continue
		}
		sub := m.SubPath
		if m.SubPathExpr != "" {
			sub = expand(m.SubPathExpr, values)
		}
		if sub != "" {
			parts = append(parts, dir)
		}
		// Cleaned as an absolute path, it cannot lead out of the volume; the API server does not allow that either.
		all[path.Clean(m.MountPath)] = filepath.Join(dir, path.Clean("/"+sub))
	}
	return all, parts
}

// volumes returns the host directories of the Pod's volumes by volume name (pkg/volume/util, MakeAbsolutePath and the plugins'
// names). It leaves out volumes of Secrets.
func (i *Inventory) volumes(ctx context.Context, p *pod) map[string]string {
	all := map[string]string{}
	base := filepath.Join(i.options.Kubelet, "pods", p.identity("").UID, "volumes")
	for _, v := range p.Spec.Volumes {
		switch {
		case v.HostPath != nil:
			all[v.Name] = v.HostPath.Path
		case v.EmptyDir != nil:
			all[v.Name] = filepath.Join(base, "kubernetes.io~empty-dir", v.Name)
		case v.ConfigMap != nil:
			all[v.Name] = filepath.Join(base, "kubernetes.io~configmap", v.Name)
		case v.Projected != nil:
			all[v.Name] = filepath.Join(base, "kubernetes.io~projected", v.Name)
		case v.DownwardAPI != nil:
			all[v.Name] = filepath.Join(base, "kubernetes.io~downward-api", v.Name)
		case v.NFS != nil:
			all[v.Name] = filepath.Join(base, "kubernetes.io~nfs", v.Name)
		case v.CSI != nil:
			all[v.Name] = filepath.Join(base, "kubernetes.io~csi", v.Name, "mount")
		case v.PersistentVolumeClaim != nil:
			all[v.Name] = i.claimed(ctx, p.Metadata.Namespace, v.PersistentVolumeClaim.ClaimName, base)
		}
	}
	return all
}

// claimed returns the directory where the kubelet mounts the volume of a claim: base/PLUGIN/VOLUME. It is "" if not known.
func (i *Inventory) claimed(ctx context.Context, namespace, claim, base string) string {
	name := i.volumeOf(ctx, namespace, claim)
	if name == "" {
		return ""
	}
	seen := i.options.See(base)
	found, err := filepath.Glob(filepath.Join(escapeGlob(seen), "kubernetes.io~*", escapeGlob(name)))
	if err != nil || len(found) == 0 {
		return ""
	}
	plugin := filepath.Base(filepath.Dir(found[0]))
	dir := filepath.Join(base, plugin, name)
	if plugin == "kubernetes.io~csi" {
		dir = filepath.Join(dir, "mount")
	}
	return dir
}

// escapeGlob returns a pattern that matches only name.
func escapeGlob(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}
