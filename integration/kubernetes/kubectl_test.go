// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/pod"
	"github.com/remora-logs/remora/integration/verify"
)

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := node.Kubectl("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply creates the object. It is removed in the end, and described if the test has failed.
func apply(t *testing.T, kind, name string, object any) {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	applyText(t, kind, name, string(text))
}

func applyText(t *testing.T, kind, name, text string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			state, _ := node.Kubectl("", "describe", kind, name)
			pods, _ := node.Kubectl("", "get", "pods", "--output", "wide")
			t.Logf("the servers: %v\n%s\n%s", node.Alive(), pods, state)
		}
		if _, err := node.Kubectl("", "delete", kind, name, "--ignore-not-found", "--grace-period", "1"); err != nil {
			t.Error(err)
		}
	})
	if _, err := node.Kubectl(text, "apply", "--validate=strict", "--filename", "-"); err != nil {
		t.Fatal(err)
	}
}

// get is the Pod as it is now.
func get(t *testing.T, name string) *core.Pod {
	t.Helper()
	var p core.Pod
	if err := json.Unmarshal([]byte(kubectl(t, "get", "pod", name, "--output", "json")), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// started waits until all the Pod's containers run, and returns it.
func started(t *testing.T, name string) *core.Pod {
	t.Helper()
	kubectl(t, "wait", "pod", name, "--for", "condition=Ready", "--timeout", "2m")
	return get(t, name)
}

// manual is the Pod that deploy/kubernetes shows, under another name and with its application writing what args say.
func manual(t *testing.T, name string, args ...string) *core.Pod {
	t.Helper()
	p, err := pod.Load(filepath.Join(root, "deploy", "kubernetes", "pod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.Name = name
	p.Spec.Containers[0].Image, p.Spec.Containers[0].Args = generator, args
	p.Spec.Containers[0].ImagePullPolicy = core.PullNever
	return p
}

// set sets variables of the container, given as NAME=VALUE, in place of those it has.
func set(c *core.Container, variables ...string) {
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		unset(c, name)
		c.Env = append(c.Env, core.EnvVar{Name: name, Value: value})
	}
}

// unset removes the variables whose names begin so.
func unset(c *core.Container, prefix string) {
	var kept []core.EnvVar
	for _, e := range c.Env {
		if !strings.HasPrefix(e.Name, prefix) {
			kept = append(kept, e)
		}
	}
	c.Env = kept
}

// volume gives the Pod's first init container a volume.
func volume(spec *core.PodSpec, name, path string, source core.VolumeSource) {
	spec.Volumes = append(spec.Volumes, core.Volume{Name: name, VolumeSource: source})
	c := &spec.InitContainers[0]
	c.VolumeMounts = append(c.VolumeMounts, core.VolumeMount{Name: name, MountPath: path})
}

// followed is what the sidecar says, and where its output is the console, what it delivers: kubectl shows both as one.
type followed struct {
	mu    sync.Mutex
	all   bytes.Buffer
	ended chan struct{}
}

// follow reads along with a Pod's sidecar until that ends.
func follow(t *testing.T, name string) *followed {
	t.Helper()
	f := &followed{ended: make(chan struct{})}
	cmd := node.Command("logs", name, "--container", "remora", "--follow")
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(f.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-f.ended
		if t.Failed() {
			t.Logf("what the sidecar said:\n%s", f.said())
		}
	})
	return f
}

func (f *followed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all.Write(p)
}

// lines are the whole lines so far: the records, and what the sidecar says of itself.
func (f *followed) lines() (records, said string) {
	f.mu.Lock()
	all := f.all.String()
	f.mu.Unlock()
	var r, s strings.Builder
	for line := range strings.Lines(all[:strings.LastIndexByte(all, '\n')+1]) {
		if strings.HasPrefix(line, "{") {
			r.WriteString(line)
		} else {
			s.WriteString(line)
		}
	}
	return r.String(), s.String()
}

func (f *followed) said() string { _, said := f.lines(); return said }

// numbers are the lines of the application's that have been delivered to the console.
func (f *followed) numbers(t *testing.T, name string) *verify.Numbers {
	t.Helper()
	records, _ := f.lines()
	n, err := verify.Count(strings.NewReader(records), name, "")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitWord waits until the sidecar has said the words, the given number of times.
func (f *followed) awaitWord(t *testing.T, limit time.Duration, words string, times int) {
	t.Helper()
	engine.Eventually(t, limit, func() (bool, string) {
		n := strings.Count(f.said(), words)
		return n >= times, fmt.Sprintf("it has said %q %d times, not %d", words, n, times)
	})
}

// remove deletes the Pod and returns how long that took. That nothing was left is the last thing that the sidecar says.
func remove(t *testing.T, name string, f *followed) time.Duration {
	t.Helper()
	began := time.Now()
	kubectl(t, "delete", "pod", name)
	took := time.Since(began)
	drained(t, f)
	return took
}

// drained checks that the sidecar has ended with nothing left.
func drained(t *testing.T, f *followed) {
	t.Helper()
	select {
	case <-f.ended:
	case <-time.After(10 * time.Second):
		t.Error("its log does not end")
	}
	if said := f.said(); !strings.Contains(said, "drained: nothing is left") {
		t.Error("it was ended before it had drained")
	}
}

// complete tells whether all lines have arrived, and none twice. Order is kept within a file, so that the lines about a
// rotation may change places.
func complete(n *verify.Numbers, want int) (ok bool, state string) {
	return n.Missing(want) == 0 && n.Distinct == want && n.Twice == 0,
		fmt.Sprintf("%d of %d lines, missing %s; %d twice", n.Distinct, want, n.Holes(want), n.Twice)
}
