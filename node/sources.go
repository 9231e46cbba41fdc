// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/containerd"
	"github.com/remora-logs/remora/node/containers/cri"
	"github.com/remora-logs/remora/node/containers/docker"
	"github.com/remora-logs/remora/node/containers/kubernetes"
	"github.com/remora-logs/remora/node/containers/podlogs"
	"github.com/remora-logs/remora/shared/config"
)

// criSockets are the usual sockets of CRI runtimes. Those of distributions come first, because the general ones may serve
// something else there.
var criSockets = []string{
	"/run/k3s/containerd/containerd.sock", "/run/k0s/containerd.sock", "/var/snap/microk8s/common/run/containerd.sock",
	"/run/crio/crio.sock", "/run/cri-dockerd.sock", "/run/containerd/containerd.sock",
}

// containerdSockets are the usual sockets of containerd. The general one comes first, because that of a distribution belongs
// to Kubernetes alone. The one below /run/docker is not among them: all its containers are Docker's.
var containerdSockets = []string{
	"/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/k0s/containerd.sock",
	"/var/snap/microk8s/common/run/containerd.sock",
}

// findEvery is how often a runtime that was missing at the start is searched for.
const findEvery = 5 * time.Second

// source is an inventory that may or may not exist on this host.
type source struct {
	name string
	at   []string // one of these paths must exist; empty for an inventory that needs none
	// asked means that REMORA_RUNTIME names it, so that its absence is an error.
	asked bool
	open  func(at string) (containers.Inventory, error)
}

// describer is an inventory that can describe a single container. What it returns does not depend on the container's state.
type describer interface {
	Describe(ctx context.Context, id string) (containers.Container, error)
}

// sources holds the inventories that may know containers of this host.
type sources struct {
	host host
	log  *slog.Logger
	all  []source

	mu    sync.Mutex
	there map[string]string // by name, the path at which an inventory was found
	// containerd is containerd's inventory, once it was found or needed by describe.
	containerd describer
}

// newSources returns the sources that REMORA_RUNTIME names, and the directory of Pods' logs.
func newSources(s config.Node, h host, environ map[string]string, log *slog.Logger) (*sources, error) {
	f := &sources{host: h, log: log, there: map[string]string{}}
	auto := slices.Contains(s.Runtime, "auto")
	wants := func(name string) bool { return auto || slices.Contains(s.Runtime, name) }
	f.all = append(f.all, source{name: podlogs.Name, at: []string{s.PodLogs}, open: func(string) (containers.Inventory, error) {
		return podlogs.New(s.PodLogs, h.see), nil
	}})
	if wants(docker.Name) {
		var at []string
		if socket, ok := strings.CutPrefix(s.DockerHost, "unix://"); ok {
			at = []string{socket}
		}
		f.all = append(f.all, source{name: docker.Name, at: at, asked: !auto, open: func(at string) (containers.Inventory, error) {
			address := s.DockerHost
			if at != "" {
				address = "unix://" + at
			}
			return docker.New(address, s.DockerVerify != "", s.DockerCerts, h.proc())
		}})
	}
	if wants(containerd.Name) {
		at := socketOr(s.Containerd, containerdSockets)
		f.all = append(f.all, source{name: containerd.Name, at: at, asked: !auto, open: func(at string) (containers.Inventory, error) {
			return containerd.New(at, h.proc(), podsOfContainerd(s.Runtime)), nil
		}})
	}
	if wants(cri.Name) {
		at := socketOr(s.CRISocket, criSockets)
		f.all = append(f.all, source{name: cri.Name, at: at, asked: !auto, open: func(at string) (containers.Inventory, error) {
			return cri.New(at, h.proc()), nil
		}})
	}
	server, inCluster := kubernetes.InCluster(environ, version)
	if wants(kubernetes.Name) && (inCluster && s.NodeName != "" || !auto) {
		if !inCluster {
			return nil, errors.New("REMORA_RUNTIME names kubernetes, but this is no Pod: KUBERNETES_SERVICE_HOST is not set")
		}
		f.all = append(f.all, source{name: kubernetes.Name, asked: !auto, open: func(string) (containers.Inventory, error) {
			return kubernetes.New(kubernetes.Options{Server: server, Node: s.NodeName, PodLogs: s.PodLogs, Kubelet: s.Kubelet, See: h.see})
		}})
	}
	return f, nil
}

// socketOr returns the socket that a setting names, or the usual ones if it is empty.
func socketOr(setting string, usual []string) []string {
	if setting == "" {
		return usual
	}
	return []string{strings.TrimPrefix(setting, "unix://")}
}

// podsOfContainerd reports whether containerd's inventory lists the containers of Pods, because no other inventory does.
func podsOfContainerd(runtimes []string) bool {
	return !slices.ContainsFunc(runtimes, func(name string) bool { return name == "auto" || name == cri.Name || name == kubernetes.Name })
}

// names returns the names of all sources.
func (f *sources) names() (names []string) {
	for _, s := range f.all {
		names = append(names, s.name)
	}
	return names
}

// find returns the path of a source: its own path, because a socket may be mounted alone, or that path below the host's root.
func (f *sources) find(s *source) (at string, ok bool) {
	if len(s.at) == 0 {
		return "", true
	}
	for _, path := range s.at {
		for _, seen := range []string{path, f.host.see(path)} {
			if _, err := os.Stat(seen); err == nil {
				return seen, true
			}
		}
	}
	return "", false
}

// follow follows all sources, and waits for those that do not exist yet, until ctx ends.
func (f *sources) follow(ctx context.Context, sink containers.Sink) {
	var all sync.WaitGroup
	for i := range f.all {
		all.Go(func() { f.followOne(ctx, &f.all[i], sink) })
	}
	all.Wait()
}

func (f *sources) followOne(ctx context.Context, s *source, sink containers.Sink) {
	every := time.NewTicker(findEvery)
	defer every.Stop()
	for said := false; ; {
		at, ok := f.find(s)
		if ok {
			inv, err := s.open(at)
			if err == nil && !s.asked {
				if err = f.try(ctx, inv); err != nil && !said {
					sink.Listed(s.name, nil, nil) // it has no containers: explain need not wait for it
				}
			}
			if err == nil {
				f.found(s, at, inv)
				containers.Follow(ctx, inv, sink, f.log)
				return
			}
			if !said {
				f.log.Info("not asked for containers", "inventory", s.name, "at", at, "error", err)
			}
			if s.asked {
				sink.Listed(s.name, nil, err)
			}
			said = true
		} else if s.asked {
			sink.Listed(s.name, nil, errors.New("nothing is there; tried "+strings.Join(s.at, ", ")))
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// try returns an error if the socket serves another protocol than expected. Docker's own containerd serves no CRI.
func (f *sources) try(ctx context.Context, inv containers.Inventory) error {
	if inv.Name() != cri.Name && inv.Name() != containerd.Name {
		return nil
	}
	if _, err := inv.List(ctx); errors.Is(err, cri.ErrNone) {
		return err
	}
	return nil
}

func (f *sources) found(s *source, at string, inv containers.Inventory) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there[s.name] = at
	if s.name == containerd.Name {
		f.containerd, _ = inv.(describer)
	}
	f.log.Info("following containers", "inventory", s.name, "at", at)
}

// describe asks containerd about a container, even before followOne has found containerd. It returns errNotAsked if there is
// none.
func (f *sources) describe(ctx context.Context, id string) (containers.Container, error) {
	f.mu.Lock()
	inv := f.containerd
	f.mu.Unlock()
	for i := range f.all {
		s := &f.all[i]
		if at, ok := f.find(s); ok && inv == nil && s.name == containerd.Name {
			opened, err := s.open(at)
			if err != nil {
				return containers.Container{}, err
			}
			inv = f.keepDescriber(opened)
		}
	}
	if inv == nil {
		return containers.Container{}, errNotAsked
	}
	return inv.Describe(ctx, id)
}

// keepDescriber stores an inventory of containerd until followOne finds its own, and returns the stored one: a concurrent
// call may have stored another.
func (f *sources) keepDescriber(opened containers.Inventory) describer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.containerd == nil {
		f.containerd, _ = opened.(describer)
	}
	return f.containerd
}

// answered reports whether every source that exists and is needed was listed. all holds the errors of the last lists.
func (f *sources) answered(all map[string]error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.there {
		if err, ok := all[name]; (!ok || err != nil) && !f.onlyAdds(name) {
			return false
		}
	}
	return len(f.there) > 0
}

// adds reports whether an inventory only adds to what others find, so that it need not answer: the API server, and
// containerd beside Docker or a CRI, unless REMORA_RUNTIME names them.
func (f *sources) adds(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.onlyAdds(name)
}

// onlyAdds is adds for a caller that holds mu.
func (f *sources) onlyAdds(name string) bool {
	for _, s := range f.all {
		if s.name != name || s.asked {
			continue
		}
		_, hasDocker := f.there[docker.Name]
		_, hasCRI := f.there[cri.Name]
		return name == kubernetes.Name || name == containerd.Name && (hasDocker || hasCRI)
	}
	return false
}

// tried returns the paths that were searched, or "" if a source was found.
func (f *sources) tried() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.there) > 0 {
		return ""
	}
	var all []string
	for _, s := range f.all {
		all = append(all, s.at...)
	}
	return strings.Join(all, ", ")
}
