// SPDX-License-Identifier: Apache-2.0

// Package podlogs is the inventory of the kubelet's directory of logs: the names in it tell which Pods and containers
// there are, whether or not anybody answers about them.
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

// Name is the inventory's.
const Name = "podlogs"

// pollEvery is how often changes are looked for. The directory of a Pod that has existed for settled is looked at in one of
// settledEvery such turns: another container appears in it where the Pod's specification says so, and then rarely.
const (
	pollEvery    = time.Second
	settled      = time.Minute
	settledEvery = 2
)

// recent is how old a directory's time has to be to tell of later changes: it moves in the clock's ticks.
const recent = 2 * time.Second

// maxPods bounds how many directories are read.
const maxPods = 10_000

// Inventory is that of one directory.
type Inventory struct {
	dir string // as the machine knows it
	see func(path string) string

	mu      sync.Mutex
	pods    map[string]pod // by the name of their directory
	changed time.Time      // of the directory, as it was listed last; zero if it may have changed since
}

// pod is a Pod's directory as it was read last.
type pod struct {
	changed    time.Time
	containers []string
}

// New makes the inventory of dir. see turns a path of the machine into one that this process can open; it is asked again
// each time, because dir may be a link that somebody changes.
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

// read reads the names of a Pod's containers if its directory was changed since.
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

// parse takes the name of a Pod's directory apart: NAMESPACE_NAME_UID. Neither of them holds an underscore.
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

// Watch implements containers.Inventory: a list costs so little that it is made each time.
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

// hasChanged reports whether a list would bring something new. It asks for times only, for a list of a thousand Pods each
// second would be a third of what an idle agent costs.
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
		var st unix.Stat_t // asked for by the name alone: walking the whole path a thousand times costs more than all else
		if p.changed.IsZero() || unix.Fstatat(int(dir.Fd()), name, &st, 0) != nil || !time.Unix(st.Mtim.Unix()).Equal(p.changed) {
			return true
		}
	}
	return false
}

// timeOf is when a directory was changed; zero where that is not known, or so short a time ago that it may be changed again
// without another time.
func timeOf(dir string) time.Time {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()) < recent {
		return time.Time{}
	}
	return info.ModTime()
}
