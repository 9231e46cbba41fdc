// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/notice"
)

// What the agent knew of containers is kept on disk, so that a restart while a runtime is down stops no collection: until
// the runtime answers, its containers are taken to be there as they were.

// maxRemembered bounds the file in bytes.
const maxRemembered = 64 << 20

func rememberedPath(stateDir string) string { return filepath.Join(stateDir, "containers.json") }

// recall takes over what an earlier process has remembered of the containers of inventories, those that are asked now.
func (a *agent) recall(path string, inventories []string) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxRemembered {
		err = fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxRemembered)
	}
	var all []containers.Container
	if err == nil {
		var content []byte
		if content, err = os.ReadFile(path); err == nil {
			err = json.Unmarshal(content, &all)
		}
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			notice.ContainersUnknown.Log(a.log, "error", err)
		}
		return
	}
	for _, c := range all {
		if slices.Contains(inventories, c.Runtime) {
			a.Found(c)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.subjectOf {
		a.recalled[r] = true
	}
	a.changed = false
}

// confirm forgets what was recalled of an inventory's containers and is not there any more: everything that is was told.
func (a *agent) confirm(inventory string) {
	for r := range a.recalled {
		if r.inventory != inventory {
			continue
		}
		delete(a.recalled, r)
		if key, ok := a.subjectOf[r]; ok {
			a.drop(r, key)
		}
	}
}

// remember writes what is known to disk, if it has changed.
func (a *agent) remember(path string) {
	a.mu.Lock()
	if !a.changed {
		a.mu.Unlock()
		return
	}
	a.changed = false
	all := make([]containers.Container, 0, len(a.subjectOf))
	kept := a.keptLabels()
	for r, key := range a.subjectOf {
		if c := a.subjects[key].reports[r]; c.Detailed {
			all = append(all, a.withoutSecrets(c, kept))
		}
	}
	a.mu.Unlock()
	if err := writeFile(path, all); err != nil {
		notice.ContainersNotRemembered.Log(a.log, "error", err)
	}
}

// origins begin the labels that say who a container is.
var origins = []string{"io.kubernetes.", "com.docker.compose.", "com.docker.swarm.", "com.docker.stack.", "com.aliyun.access.", "nerdctl/name",
	"statefulset.kubernetes.io/", "controller-revision-hash", "pod-template-"}

// askedLabels are the labels and annotations that settings and rules ask about.
func (a *agent) askedLabels() map[string]bool {
	asked := map[string]bool{excludeKey: true}
	for _, name := range a.settings.LabelTags {
		asked[name] = true
	}
	for _, r := range a.rules {
		for _, name := range r.Labels() {
			asked[name] = true
		}
	}
	return asked
}

// keptLabels says which labels and annotations may be kept on disk: those that somebody asks about. Anything may be in the rest.
func (a *agent) keptLabels() func(name string) bool {
	asked := a.askedLabels()
	return func(name string) bool {
		return asked[name] || a.dialect.Concerns(name) || slices.ContainsFunc(origins, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	}
}

// kept says which labels and variables of a captured container are stored beside its log.
type kept struct {
	label    func(name string) bool
	variable map[string]bool
}

func (a *agent) kept() kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := kept{a.keptLabels(), map[string]bool{}}
	for _, r := range a.rules {
		for _, name := range r.Variables() {
			k.variable[name] = true
		}
	}
	return k
}

// withoutSecrets keeps of a container's environment, labels and annotations what somebody asks about.
func (a *agent) withoutSecrets(c containers.Container, kept func(name string) bool) containers.Container {
	c.Env = slices.DeleteFunc(slices.Clone(c.Env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !a.dialect.Concerns(name) && name != imageVariable
	})
	for _, m := range []*map[string]string{&c.Labels, &c.Pod.Labels, &c.Pod.Annotations} {
		*m = maps.Clone(*m)
		maps.DeleteFunc(*m, func(name, _ string) bool { return !kept(name) })
	}
	return c
}

// writeFile replaces the file at path as a whole.
func writeFile(path string, content any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", body, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
