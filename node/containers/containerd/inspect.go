// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/remora-logs/remora/node/containers"
)

// Inspect implements containers.Inventory.
func (i *Inventory) Inspect(ctx context.Context, id string) (containers.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	namespace, r, err := i.own(ctx, id)
	if err != nil {
		return containers.Container{}, err
	}
	t, err := i.task(ctx, namespace, r.id)
	doubtful := false
	if err != nil { // its shim hangs: assume that its state is unchanged
		before, known := i.cache.Get(id)
		t.running, t.pid = !known || before.Running, before.Files.Process
		doubtful = t.running && t.pid == 0
	}
	c := r.container(namespace)
	if name := i.name(ctx, namespace, &r); c.Pod.UID == "" {
		c.Name = name
	}
	c.Running, c.Exited, c.Log = t.running, t.exited, output(t.stdout)
	if c.Running {
		c.Files.Process = t.pid
	}
	if before, known := i.cache.Get(id); known && c.Log.Driver == "" { // the task, which names the log's driver, is gone
		c.Log = before.Log
	}
	i.root(ctx, namespace, &r, &c)
	i.mu.Lock()
	i.updated[id] = r.updated
	i.mu.Unlock()
	c = i.cache.Put(c)
	if doubtful {
		i.cache.Doubt(id)
	}
	return c, nil
}

// Describe returns a container as containerd's database has it, or an error that wraps ErrGone. Unlike Inspect it asks neither
// shim nor snapshotter: the result has identity, labels and environment, but neither state nor root file system.
func (i *Inventory) Describe(ctx context.Context, id string) (containers.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	namespace, r, err := i.own(ctx, id)
	if err != nil {
		return containers.Container{}, err
	}
	return r.container(namespace), nil
}

// own requests the record of a container. It fails with ErrGone if the container belongs to another inventory.
func (i *Inventory) own(ctx context.Context, id string) (namespace string, r record, err error) {
	namespace, bare, _ := strings.Cut(id, "/")
	if foreign[namespace] {
		return "", record{}, fmt.Errorf("%w: %s is Docker's", containers.ErrGone, id)
	}
	if r, err = i.record(ctx, namespace, bare); err != nil {
		return "", record{}, fmt.Errorf("container %s: %w", id, err)
	}
	if !i.ours(namespace, &r) {
		return "", record{}, fmt.Errorf("%w: another inventory has %s", containers.ErrGone, id)
	}
	return namespace, r, nil
}

// container returns what a record says about its container.
func (r *record) container(namespace string) containers.Container {
	s := r.decodeSpec()
	c := containers.Container{
		Runtime: Name, Namespace: namespace, ID: key(namespace, r.id), Name: r.id, Image: r.image, Labels: r.labels,
		Env: s.Process.Env, Detailed: true, Created: r.created, Files: files(&s),
	}
	if namespace == kubernetesNamespace && r.labels[kindLabel] == inPod {
		c.Pod = containers.Pod{Namespace: r.labels["io.kubernetes.pod.namespace"], Name: r.labels["io.kubernetes.pod.name"],
			UID: r.labels["io.kubernetes.pod.uid"], Container: r.labels["io.kubernetes.container.name"]}
		c.Name = fmt.Sprintf("k8s_%s_%s_%s_%s", c.Pod.Container, c.Pod.Name, c.Pod.Namespace, c.Pod.UID)
	}
	return c
}

// files returns the mounts of a specification. A root file system that the client chose is treated as a mount, because,
// unlike in a snapshot's path, users other than the administrator may be able to create links in its path.
func files(s *containers.Spec) containers.Files {
	f := containers.Files{Mounts: map[string]string{}}
	if filepath.IsAbs(s.Root.Path) {
		f.Mounts["/"] = s.Root.Path
	}
	for _, m := range s.Mounts { // of two at one place, the last is visible
		at := filepath.Clean(m.Destination)
		delete(f.Mounts, at)
		f.Hidden = slices.DeleteFunc(f.Hidden, func(hidden string) bool { return hidden == at })
		switch {
		case m.Type == "tmpfs":
			f.Hidden = append(f.Hidden, at)
		case (m.Type == "bind" || m.Type == "none" || m.Type == "") && filepath.IsAbs(m.Source):
			f.Mounts[at] = m.Source
		}
	}
	return f
}

// root finds the root file system: from the snapshotter, or else from the kernel's list of mounts.
func (i *Inventory) root(ctx context.Context, namespace string, r *record, c *containers.Container) {
	if c.Files.Mounts["/"] != "" {
		return
	}
	if r.snapshotter != "" && r.snapshot != "" {
		c.Files.Upper, c.Files.Lower = i.snapshot(ctx, namespace, r)
	}
	if c.Files.Upper == "" && c.Running {
		c.Files.Upper, c.Files.Lower = containers.Overlay(i.procfs, r.id, c.Files.Process)
	}
}

// snapshot requests the directories of a snapshot. The result is empty for a block device and for a snapshot that cannot be
// mounted now.
func (i *Inventory) snapshot(ctx context.Context, namespace string, r *record) (upper string, lower []string) {
	answer, err := i.call(ctx, namespace, "snapshots.v1.Snapshots/Mounts", append(text(1, r.snapshotter), text(2, r.snapshot)...))
	if err != nil {
		return "", nil
	}
	kind, source, options, err := decodeMounts(answer)
	switch {
	case err != nil:
		return "", nil
	case strings.Contains(kind, "overlay"):
		return containers.Layers(options)
	case kind == "bind" && filepath.IsAbs(source): // a single layer, or the native snapshotter
		return source, nil
	}
	return "", nil
}

// name returns the name in a container's label, or the container's ID if there is none or another container has the name.
func (i *Inventory) name(ctx context.Context, namespace string, r *record) string {
	name := givenName(r)
	if name == "" {
		return r.id
	}
	me := owner{key(namespace, r.id), r.created}
	i.mu.Lock()
	has, taken := i.named[key(namespace, name)]
	i.mu.Unlock()
	if taken && has.key != me.key { // unless the other is gone and its removal is not known yet
		other, err := i.record(ctx, namespace, strings.TrimPrefix(has.key, namespace+"/"))
		if err == nil && givenName(&other) == name {
			return r.id
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := i.named[key(namespace, name)]; now != has { // another call has changed it
		return r.id
	}
	i.named[key(namespace, name)] = me
	return name
}
