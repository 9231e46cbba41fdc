// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/declare"
)

// subject is a container as users think of it: a named container of a Pod, however often it was restarted, or a named
// container of an engine. Several inventories may report it, and a runtime may have several attempts of it.
type subject struct {
	key     string // the same after a restart of the agent
	since   time.Time
	reports map[report]containers.Container
	put     map[string]put // what the tailer follows of it, by the origin's ID
	// problems and warnings are those of its declarations; left is why nothing of it is collected.
	problems  []declare.Problem
	warnings  []declare.Problem
	left      string
	evaluated bool
	retry     time.Time // when to evaluate again; zero if only after a change
	process   *process
	// captured are the declarations of output that remora-logger captures and that is delivered from its spool.
	captured []declare.Declaration
	// standsBack is the origin of its files if another subject has claimed it, else empty.
	standsBack string
}

// loses removes from a subject the origins of its files, id and those of its mounted files, which another subject has claimed.
func (s *subject) loses(id string) {
	for of := range s.put {
		if of == id || strings.HasPrefix(of, id+"/") {
			delete(s.put, of)
		}
	}
	s.standsBack = id
}

// report identifies a report of a container: who made it, and the container's ID there.
type report struct{ inventory, id string }

// formerly is the key of the last report with declarations, which is kept while only reports without them are left.
var formerly = report{inventory: "formerly"}

// reported reports whether an inventory reports the subject at present.
func (s *subject) reported() bool {
	_, former := s.reports[formerly]
	return len(s.reports) > 1 || len(s.reports) == 1 && !former
}

// detailed reports whether a report of the subject includes its declarations.
func (s *subject) detailed() bool {
	for _, c := range s.reports {
		if c.Detailed {
			return true
		}
	}
	return false
}

// keyOf returns the key of a container's subject.
func keyOf(c *containers.Container) string {
	if c.Pod.UID != "" && c.Pod.Container != "" {
		return c.Pod.UID + "/" + c.Pod.Container
	}
	if c.Namespace != "" && c.Name != c.BareID() { // two namespaces may have one name, and a name may be another's ID
		return c.Runtime + "/" + c.Namespace + "//" + c.Name
	} else if c.Namespace != "" {
		return c.Runtime + "/" + c.ID
	}
	return c.Runtime + "/" + cmp.Or(c.Name, c.ID)
}

// filesID returns the ID of the origin of a container's files. A container that replaces another on the same volumes has the
// same ID, so that files are not read twice. This holds for Pods of a StatefulSet, for the one Pod that a DaemonSet has on a
// node, and for the slot of a Swarm service. Replicas of a Deployment cannot be distinguished from their successors.
func (s *subject) filesID(v *view) string {
	const files = "files/"
	labels := v.Pod.Labels
	workload := ""
	switch {
	case v.Pod.Name == "" && v.Namespace == "": // containerd alone knows no Swarm, whatever a label says
		if slot, _, ok := cutLast(v.Labels["com.docker.swarm.task.name"], "."); ok {
			return files + "swarm/" + slot
		}
	case labels["statefulset.kubernetes.io/pod-name"] == v.Pod.Name:
		workload = v.Pod.Name
	case labels["controller-revision-hash"] != "" && labels["pod-template-generation"] != "":
		workload, _, _ = cutLast(v.Pod.Name, "-")
	}
	if workload == "" || v.Pod.Name == "" {
		return files + s.key
	}
	return files + v.Pod.Namespace + "/" + workload + "/" + v.Pod.Container
}

// cutLast cuts s at the last sep.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// rank orders inventories by how much they know of a container's inside.
var rank = map[string]int{"cri": 3, "docker": 3, "containerd": 3, "kubernetes": 2, "podlogs": 1}

// view is a subject with its reports merged.
type view struct {
	containers.Container
	logs []containers.Log // each file of its output once
}

// view merges the reports. Of several attempts the latest counts, but the output of all is collected.
func (s *subject) view() view {
	all := slices.Collect(maps.Values(s.reports))
	slices.SortFunc(all, func(a, b containers.Container) int {
		return cmp.Or(compare(b.Detailed, a.Detailed), compare(b.Running, a.Running), cmp.Compare(rank[b.Runtime], rank[a.Runtime]),
			b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	v := view{Container: all[0]}
	for _, c := range all {
		v.addPod(c)
		if c.Log.Form != containers.NoFile && !slices.ContainsFunc(v.logs, func(l containers.Log) bool { return l.Dir == c.Log.Dir }) {
			v.logs = append(v.logs, c.Log)
		}
	}
	// Under cri-dockerd the files in the Pod's directory are links to Docker's own.
	if slices.ContainsFunc(v.logs, func(l containers.Log) bool { return l.Form != containers.CRI }) {
		v.logs = slices.DeleteFunc(v.logs, func(l containers.Log) bool { return l.Form == containers.CRI })
	}
	slices.SortFunc(v.logs, func(a, b containers.Log) int { return cmp.Compare(a.Dir, b.Dir) })
	return v
}

// addPod adds what another report knows about the Pod. The API server has its present labels, a runtime those at the Pod's start.
func (v *view) addPod(c containers.Container) {
	if c.Runtime == "kubernetes" {
		v.Pod.Labels, v.Pod.Annotations, v.Pod.Owner = c.Pod.Labels, c.Pod.Annotations, c.Pod.Owner
		if v.Detailed && v.Runtime != c.Runtime { // a runtime has resolved all variables
			v.Unresolved = nil
		}
	}
	if v.Pod.Labels == nil {
		v.Pod.Labels = c.Pod.Labels
	}
	if v.Pod.Annotations == nil {
		v.Pod.Annotations = c.Pod.Annotations
	}
	v.Name, v.Image = cmp.Or(v.Name, c.Name), cmp.Or(v.Image, c.Image)
}

// name returns the container's name for messages.
func (v *view) name() string {
	if v.Pod.Name != "" {
		return v.Pod.Namespace + "/" + v.Pod.Name + "/" + v.Pod.Container
	}
	return cmp.Or(v.Name, v.ID)
}

// subject returns the container as rules see it.
func (v *view) subject() declare.Subject {
	return declare.Subject{
		Runtime: v.Runtime, Namespace: v.Pod.Namespace, Pod: v.Pod.Name, Container: cmp.Or(v.Pod.Container, v.Name), Image: v.Image,
		Labels: v.Labels, PodLabels: v.Pod.Labels, Annotations: v.Pod.Annotations, Env: v.Env,
	}
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
