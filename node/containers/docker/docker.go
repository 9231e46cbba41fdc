// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/remora-logs/remora/node/containers"
)

// Name is the name of this inventory.
const Name = "docker"

// Inventory is the inventory of one engine.
type Inventory struct {
	engine *engine
	procfs string
	cache  containers.Cache
}

// New returns the inventory of the engine at host, in the form of DOCKER_HOST. verify and certificates are DOCKER_TLS_VERIFY
// and DOCKER_CERT_PATH. procfs is where the host's /proc is mounted: with containerd's image store, the engine does not say
// where a container's files are.
func New(host string, verify bool, certificates, procfs string) (*Inventory, error) {
	e, err := newEngine(host, verify, certificates)
	if err != nil {
		return nil, err
	}
	return &Inventory{engine: e, procfs: procfs}, nil
}

// Name implements containers.Inventory.
func (*Inventory) Name() string { return Name }

// List implements containers.Inventory.
func (i *Inventory) List(ctx context.Context) ([]containers.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	running := map[string]bool{}
	var large containers.TooLarge
	err := i.engine.each(ctx, "/containers/json?all=1", func(element []byte) error {
		var l struct{ ID, State string }
		if err := json.Unmarshal(element, &l); err != nil {
			return err
		}
		running[l.ID] = l.State == "running" || l.State == "paused" || l.State == "restarting"
		return nil
	}, func(beginning []byte) { large.IDs = append(large.IDs, idOf(beginning)) })
	if err != nil {
		return nil, err
	}
	all := i.cache.Refresh(ctx, running, i.Inspect)
	if len(large.IDs) > 0 {
		return all, &large
	}
	return all, nil
}

// idOf returns the ID of a container from the beginning of its entry in the engine's list. The engine writes the ID first.
func idOf(beginning []byte) string {
	d := json.NewDecoder(bytes.NewReader(beginning))
	for range 2 { // the brace and the name
		token, err := d.Token()
		if name, ok := token.(string); err != nil || ok && !strings.EqualFold(name, "id") {
			return "of unknown ID"
		}
	}
	var id string
	if d.Decode(&id) != nil || id == "" {
		return "of unknown ID"
	}
	return id
}

// Watch implements containers.Inventory.
func (i *Inventory) Watch(ctx context.Context, changed func(id string)) error {
	return i.engine.events(ctx, func() { changed("") }, changed)
}

// inspection is the part of the engine's answer that is used (moby api/types/container, InspectResponse). From version 1.52
// on, GraphDriver is absent if containerd stores the images.
type inspection struct {
	ID, Name, Image, LogPath string
	Created                  time.Time
	Config                   struct {
		Image  string
		Labels map[string]string
		Env    []string
	}
	HostConfig struct {
		LogConfig struct {
			Type, Path string // Path is Podman's
		}
		Tmpfs map[string]string
	}
	State struct {
		Running bool
		Status  string
		Pid     int
	}
	GraphDriver struct {
		Name string
		Data map[string]string
	}
	Mounts []struct{ Type, Source, Destination string }
}

// Inspect implements containers.Inventory.
func (i *Inventory) Inspect(ctx context.Context, id string) (containers.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var in inspection
	if err := i.engine.get(ctx, "/containers/"+url.PathEscape(id)+"/json", &in); err != nil {
		return containers.Container{}, err
	}
	if in.ID == "" {
		return containers.Container{}, fmt.Errorf("the engine at %s answers about %s without an ID", i.engine.host, id)
	}
	c := containers.Container{
		Runtime: Name, ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"), Image: in.Config.Image, ImageID: in.Image,
		Labels: in.Config.Labels, Env: in.Config.Env, Detailed: true, Running: in.State.Running, Waiting: in.State.Status == "created", Created: in.Created, Pod: podOf(in.Config.Labels),
		Files: in.files(),
	}
	c.Log = i.log(ctx, &in)
	if c.Files.Upper == "" && c.Running { // the engine does not say, the kernel does
		c.Files.Upper, c.Files.Lower = containers.Overlay(i.procfs, c.ID, c.Files.Process)
	}
	return i.cache.Put(c), nil
}

// podOf returns the Pod that cri-dockerd, and dockershim before it, write into a container's labels.
func podOf(labels map[string]string) containers.Pod {
	return containers.Pod{
		Namespace: labels["io.kubernetes.pod.namespace"], Name: labels["io.kubernetes.pod.name"],
		UID: labels["io.kubernetes.pod.uid"], Container: labels["io.kubernetes.container.name"],
	}
}

func (in *inspection) files() containers.Files {
	f := containers.Files{Mounts: map[string]string{}, Process: in.State.Pid}
	if upper := in.GraphDriver.Data["UpperDir"]; upper != "" {
		f.Upper = upper
		if lower := in.GraphDriver.Data["LowerDir"]; lower != "" {
			f.Lower = strings.Split(lower, ":")
		}
	}
	for _, m := range in.Mounts {
		if m.Source != "" && m.Type != "tmpfs" {
			f.Mounts[m.Destination] = m.Source
		} else {
			f.Hidden = append(f.Hidden, m.Destination)
		}
	}
	for path := range in.HostConfig.Tmpfs {
		f.Hidden = append(f.Hidden, filepath.Clean(path))
	}
	return f
}

// log returns where the container's output is stored.
func (i *Inventory) log(ctx context.Context, in *inspection) containers.Log {
	l := containers.Log{Driver: in.HostConfig.LogConfig.Type}
	switch l.Driver {
	case "json-file":
		path := in.LogPath
		if path == "" { // not started yet; it may run so briefly that the path must be known before
			path = i.inRoot(ctx, in.ID, in.ID+"-json.log")
		}
		if path != "" {
			l.Form, l.Dir, l.Pattern = containers.JSONFile, filepath.Dir(path), filepath.Base(path)+"{,.*}"
		}
	case "local": // the engine does not report its path
		if dir := i.inRoot(ctx, in.ID, "local-logs"); dir != "" {
			l.Form, l.Dir, l.Pattern = containers.Local, dir, "container.log{,.*}"
		}
	case "k8s-file": // Podman's name for the format of the CRI
		if path := in.HostConfig.LogConfig.Path; path != "" {
			l.Form, l.Dir, l.Pattern = containers.CRI, filepath.Dir(path), filepath.Base(path)+"{,.*}"
		}
	}
	return l
}

// inRoot returns a path in a container's directory below the engine's data root, or "" if the root is not known.
func (i *Inventory) inRoot(ctx context.Context, id, name string) string {
	root, err := i.engine.dataRoot(ctx)
	if err != nil || root == "" {
		return ""
	}
	return filepath.Join(root, "containers", id, name)
}
