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

// The agent stores the known containers on disk, so that collection continues after a restart while a runtime is down: until
// the runtime answers, its containers are assumed to be unchanged.

// maxRemembered bounds the file in bytes.
const maxRemembered = 64 << 20

func rememberedPath(stateDir string) string { return filepath.Join(stateDir, "containers.json") }

// recall loads the containers that an earlier process has stored, as far as they come from one of inventories.
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

// confirm drops the recalled containers of an inventory that it has not reported since. It is called after a complete list.
// The caller holds a.mu.
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

// remember stores the known containers in the file at path if they have changed.
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

// origins are the prefixes of the labels that identify a container.
var origins = []string{"io.kubernetes.", "com.docker.compose.", "com.docker.swarm.", "com.docker.stack.", "com.aliyun.access.", "nerdctl/name",
	"statefulset.kubernetes.io/", "controller-revision-hash", "pod-template-"}

// askedLabels returns the labels and annotations that settings and rules refer to.
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

// keptLabels returns a function that reports whether a label or annotation may be stored on disk: it is a declaration, identifies
// the container, or settings or rules refer to it. Others may hold secrets. The caller holds a.mu.
func (a *agent) keptLabels() func(name string) bool {
	asked := a.askedLabels()
	return func(name string) bool {
		return asked[name] || a.dialect.Concerns(name) || slices.ContainsFunc(origins, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	}
}

// kept selects the labels and variables of a captured container that are stored beside its log.
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

// withoutSecrets returns c with only the declarations in its environment, and only the labels and annotations that kept selects.
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

// writeFile replaces the file at path atomically by content in JSON. It does not sync the file.
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
