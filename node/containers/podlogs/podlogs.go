// SPDX-License-Identifier: Apache-2.0

// Package podlogs lists the containers in the kubelet's directory of logs. The names in it identify Pods and containers even
// if neither the runtime nor the API server answers.
package podlogs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/node/containers"
)

// Name is the name of this inventory.
const Name = "podlogs"

// pollEvery is how often directories are checked for changes. A Pod's directory that has not changed for settled is checked in
// one of settledEvery turns only: further containers rarely appear in it.
const (
	pollEvery    = time.Second
	settled      = time.Minute
	settledEvery = 2
)

// recent is the age below which a modification time is not trusted: its resolution is a clock tick, so that a second change may
// leave it the same.
const recent = 2 * time.Second

// maxPods bounds how many directories are read.
const maxPods = 10_000

// Inventory is the inventory of one directory.
type Inventory struct {
	dir string // path on the host
	see func(path string) string

	mu      sync.Mutex
	pods    map[string]pod // by the name of their directory
	changed time.Time      // modification time of dir at the last list; zero if it may have changed since
}

// pod is a Pod's directory as last read.
type pod struct {
	changed    time.Time
	containers []string
}

// New returns the inventory of dir. see maps a path of the host to one that this process can open. It is called each time,
// because dir may be a link that changes.
func New(dir string, see func(path string) string) *Inventory {
	return &Inventory{dir: dir, see: see, pods: map[string]pod{}}
}

// Name implements containers.Inventory.
func (*Inventory) Name() string { return Name }

// List implements containers.Inventory.
func (i *Inventory) List(context.Context) (all []containers.Container, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seen := i.see(i.dir)
	i.changed = timeOf(seen)
	entries, err := os.ReadDir(seen)
	if err != nil {
		return nil, fmt.Errorf("directory of Pods' logs: %w", err)
	}
	before := i.pods
	i.pods = make(map[string]pod, len(before))
	for _, e := range entries[:min(len(entries), maxPods)] {
		of, ok := parse(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		p := before[e.Name()]
		p.read(filepath.Join(seen, e.Name()))
		i.pods[e.Name()] = p
		for _, name := range p.containers {
			of.Container = name
			all = append(all, i.container(e.Name(), of))
		}
	}
	return all, nil
}

func (i *Inventory) container(dir string, of containers.Pod) containers.Container {
	return containers.Container{
		Runtime: Name, ID: dir + "/" + of.Container, Running: true, Pod: of,
		Log: containers.Log{Driver: "cri", Form: containers.CRI, Dir: filepath.Join(i.dir, dir, of.Container), Pattern: containers.PodLogs},
	}
}

// read reads the names of a Pod's containers if its directory has changed since the last read.
func (p *pod) read(dir string) {
	changed := timeOf(dir)
	if !changed.IsZero() && changed.Equal(p.changed) {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	p.changed = changed
	p.containers = p.containers[:0]
	for _, e := range entries {
		if e.IsDir() {
			p.containers = append(p.containers, e.Name())
		}
	}
}

// parse splits the name of a Pod's directory, NAMESPACE_NAME_UID. None of the three parts contains an underscore.
func parse(name string) (p containers.Pod, ok bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return p, false
	}
	return containers.Pod{Namespace: parts[0], Name: parts[1], UID: parts[2]}, true
}

// Inspect implements containers.Inventory.
func (i *Inventory) Inspect(ctx context.Context, id string) (containers.Container, error) {
	all, err := i.List(ctx)
	if err != nil {
		return containers.Container{}, err
	}
	for _, c := range all {
		if c.ID == id {
			return c, nil
		}
	}
	return containers.Container{}, containers.ErrGone
}

// Watch implements containers.Inventory. It never names a container: a change makes the caller list all of them.
func (i *Inventory) Watch(ctx context.Context, changed func(id string)) error {
	every := time.NewTicker(pollEvery)
	defer every.Stop()
	for turn := 0; ; turn++ {
		if i.hasChanged(turn) {
			changed("")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// hasChanged reports whether a list may find something new. It only compares modification times: listing a thousand Pods each
// second would be a third of the cost of an idle agent.
func (i *Inventory) hasChanged(turn int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	seen := i.see(i.dir)
	if i.changed.IsZero() || !timeOf(seen).Equal(i.changed) {
		return true
	}
	dir, err := os.Open(seen)
	if err != nil {
		return true
	}
	defer dir.Close()
	now := time.Now()
	for name, p := range i.pods {
		if now.Sub(p.changed) > settled && (int(name[len(name)-1])+turn)%settledEvery != 0 {
			continue
		}
		var st unix.Stat_t // relative to dir: resolving the whole path for each of a thousand Pods would dominate the cost
		if p.changed.IsZero() || unix.Fstatat(int(dir.Fd()), name, &st, 0) != nil || !time.Unix(st.Mtim.Unix()).Equal(p.changed) {
			return true
		}
	}
	return false
}

// timeOf returns a directory's modification time. It is zero if it is not known or so recent that a further change may not
// alter it.
func timeOf(dir string) time.Time {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()) < recent {
		return time.Time{}
	}
	return info.ModTime()
}
