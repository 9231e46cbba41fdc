// SPDX-License-Identifier: Apache-2.0

// Package cri lists the containers of a runtime that serves CRI v1: containerd, CRI-O, cri-dockerd, and those in k3s, k0s and
// MicroK8s.
package cri

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/internal/grpc"
)

// Name is the name of this inventory.
const Name = "cri"

const (
	// askTimeout bounds the calls for one container, listTimeout those for all containers of a List.
	askTimeout, listTimeout = 10 * time.Second, 25 * time.Second
	// pollEvery is how often containers are listed to find changes. The CRI has events too, but in containerd 1.7 a second
	// reader takes events away from the kubelet, and in 2.x a slow reader blocks all others.
	pollEvery = time.Second
)

// ErrNone is the error of List if the server at the socket does not serve the CRI, such as a containerd that serves only Docker.
var ErrNone = grpc.ErrUnimplemented

// Inventory is the inventory of one runtime.
type Inventory struct {
	client *grpc.Client
	procfs string
	cache  containers.Cache

	mu        sync.Mutex
	sandboxes map[string]sandbox // by ID; the fields that are read never change
}

// New returns the inventory of the runtime at a socket. procfs is where the host's /proc is mounted.
func New(socket, procfs string) *Inventory {
	return &Inventory{client: grpc.New(socket, nil), procfs: procfs, sandboxes: map[string]sandbox{}}
}

// Name implements containers.Inventory.
func (*Inventory) Name() string { return Name }

// List implements containers.Inventory.
func (i *Inventory) List(ctx context.Context) ([]containers.Container, error) {
	all, err := i.list(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	runs, sandboxes := make(map[string]bool, len(all)), map[string]bool{}
	for _, l := range all {
		runs[l.id], sandboxes[l.sandbox] = l.running, true
	}
	found := i.cache.Refresh(ctx, runs, i.Inspect)
	i.mu.Lock()
	defer i.mu.Unlock()
	maps.DeleteFunc(i.sandboxes, func(id string, _ sandbox) bool { return !sandboxes[id] })
	return found, nil
}

func (i *Inventory) list(ctx context.Context) ([]listed, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := i.call(ctx, "ListContainers", nil)
	if err != nil {
		return nil, err
	}
	return decodeList(answer)
}

// call calls a method of CRI v1.
func (i *Inventory) call(ctx context.Context, method string, message []byte) ([]byte, error) {
	return i.client.Call(ctx, grpc.Request{Method: "runtime.v1.RuntimeService/" + method, Message: message})
}

// Watch implements containers.Inventory.
func (i *Inventory) Watch(ctx context.Context, changed func(id string)) error {
	every := time.NewTicker(pollEvery)
	defer every.Stop()
	var before map[string]bool
	for {
		all, err := i.list(ctx)
		if err != nil {
			return err
		}
		now := make(map[string]bool, len(all))
		for _, l := range all {
			now[l.id] = l.running
		}
		if before == nil {
			changed("")
		} else {
			changes(before, now, changed)
		}
		before = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// changes calls changed for each container that appeared, was started, ended or was removed.
func changes(before, now map[string]bool, changed func(id string)) {
	for id, running := range now {
		if was, ok := before[id]; !ok || was != running {
			changed(id)
		}
	}
	for id := range before {
		if _, ok := now[id]; !ok {
			changed(id)
		}
	}
}

// Inspect implements containers.Inventory.
func (i *Inventory) Inspect(ctx context.Context, id string) (containers.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := i.call(ctx, "ContainerStatus", idRequest(id, true))
	if err != nil {
		return containers.Container{}, err
	}
	s, err := decodeStatus(answer)
	if err == nil && s.id == "" {
		err = grpc.ErrMessage
	}
	if err != nil {
		return containers.Container{}, fmt.Errorf("container %s: %w", id, err)
	}
	pod, err := i.sandbox(ctx, s.info.SandboxID)
	if err != nil {
		return containers.Container{}, fmt.Errorf("container %s: %w", id, err)
	}
	c := s.container(pod)
	if upper, lower := containers.Overlay(i.procfs, c.ID, c.Files.Process); upper != "" {
		c.Files.Upper, c.Files.Lower = upper, lower
	}
	return i.cache.Put(c), nil
}

// sandbox returns a Pod's sandbox, from memory if it was requested before.
func (i *Inventory) sandbox(ctx context.Context, id string) (sandbox, error) {
	i.mu.Lock()
	s, ok := i.sandboxes[id]
	i.mu.Unlock()
	if ok || id == "" {
		return s, nil
	}
	answer, err := i.call(ctx, "PodSandboxStatus", idRequest(id, false))
	if errors.Is(err, containers.ErrGone) { // removed before its container, whose labels say enough
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if s, err = decodeSandbox(answer); err != nil {
		return s, err
	}
	i.mu.Lock()
	i.sandboxes[id] = s
	i.mu.Unlock()
	return s, nil
}

// container returns what the statuses of a container and its Pod say.
func (s *status) container(pod sandbox) containers.Container {
	c := containers.Container{
		Runtime: Name, ID: s.id, Name: s.name, Image: s.image, ImageID: s.imageID, Labels: s.labels, Running: s.running,
		Created: time.Unix(0, int64(s.created)),
		Pod: containers.Pod{Namespace: s.labels["io.kubernetes.pod.namespace"], Name: s.labels["io.kubernetes.pod.name"],
			UID: s.labels["io.kubernetes.pod.uid"], Container: s.labels["io.kubernetes.container.name"],
			Labels: pod.labels, Annotations: pod.annotations},
		Files: containers.Files{Mounts: s.mounts, Process: s.info.Pid},
		Log:   containers.Log{Driver: Name},
	}
	if c.Pod.UID == "" {
		c.Pod.Namespace, c.Pod.Name, c.Pod.UID, c.Pod.Container = pod.namespace, pod.name, pod.uid, s.name
	}
	if c.Pod.UID != "" { // as dockershim named its containers
		c.Name = fmt.Sprintf("k8s_%s_%s_%s_%s_%d", c.Pod.Container, c.Pod.Name, c.Pod.Namespace, c.Pod.UID, s.attempt)
	}
	if s.logPath != "" {
		c.Log = containers.Log{Driver: Name, Form: containers.CRI, Dir: filepath.Dir(s.logPath), Pattern: containers.PodLogs}
	}
	if spec := s.info.RuntimeSpec; spec != nil {
		c.Env, c.Detailed = spec.Process.Env, true
		s.addMounts(&c.Files)
		// CRI-O mounts an overlay beside its upper directory.
		if root := spec.Root.Path; filepath.IsAbs(root) && filepath.Base(root) == "merged" {
			c.Files.Upper = filepath.Join(filepath.Dir(root), "diff")
		}
	}
	return c
}

// addMounts adds the mounts that the runtime itself makes, such as volumes of the image. The status does not list them.
func (s *status) addMounts(f *containers.Files) {
	for _, m := range s.info.RuntimeSpec.Mounts {
		switch {
		case f.Mounts[m.Destination] != "":
		case m.Type == "bind" && filepath.IsAbs(m.Source):
			if f.Mounts == nil {
				f.Mounts = map[string]string{}
			}
			f.Mounts[m.Destination] = m.Source
		case m.Type == "tmpfs":
			f.Hidden = append(f.Hidden, m.Destination)
		}
	}
}
