// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

const (
	// retryTime is the delay before a container with a volume that could not be opened is evaluated again. The volume may be
	// mounted late.
	retryTime = 10 * time.Second
	// answerTime is how long a container that was found by its log files waits for an inventory that knows its declarations.
	answerTime = 2 * time.Second
	// routeTime is how long the route of a container's files is kept after the container is gone, so that the tailer can find the
	// last of them.
	routeTime = time.Minute
)

// tailer is the part of a tail.Tailer that the agent uses.
type tailer interface {
	Put(tail.Origin) []*tail.SelectionError
	Stopped(id string, stopped bool)
	End(id string)
	Withdraw(id string)
}

// agent decides what is collected from each container, and tells the tailer. It implements containers.Sink. Its methods are
// safe for concurrent use.
type agent struct {
	settings config.Node
	host     host
	hostName string
	self     string // the ID of the agent's own container
	dialect  *declare.Dialect
	topics   map[string]bool // Kafka topics that containers may write to; nil for any
	outputs  func(declare.Declaration) []string
	kind     func(output string) string // returns the kind of the output with that name
	log      *slog.Logger
	now      func() time.Time
	tailer   tailer
	routes   routes
	prober   prober
	// shows means that declarations are printed for users, so that values of variables are hidden.
	shows bool
	loop  loop.Watch // of watch

	mu           sync.Mutex
	subjects     map[string]*subject
	subjectOf    map[report]string
	claims       map[string]*subject // by origin ID, the subject that has claimed it
	rules        []*declare.Rule
	ruleProblems []declare.Problem
	rulesRead    chan struct{} // closed once the rules were first read
	hostRules    map[string]put
	inventories  map[string]error       // by name, as of the last list
	tooLarge     map[string][]string    // containers that the lists left out, by inventory
	listed       func(map[string]error) // called with inventories after each list
	recalled     map[report]bool        // known from the last run and not confirmed yet
	changed      bool                   // the known containers have changed since remember stored them
}

func newAgent(s config.Node, h host, hostName string, d *declare.Dialect, outputs func(declare.Declaration) []string, log *slog.Logger) *agent {
	return &agent{
		settings: s, host: h, hostName: hostName, self: ownID(), dialect: d, outputs: outputs, kind: func(output string) string { return output }, log: log, now: time.Now,
		routes: routes{now: map[string]*route{}}, subjects: map[string]*subject{}, subjectOf: map[report]string{}, hostRules: map[string]put{}, rulesRead: make(chan struct{}), claims: map[string]*subject{},
		inventories: map[string]error{}, tooLarge: map[string][]string{}, recalled: map[report]bool{},
	}
}

// Found implements containers.Sink.
func (a *agent) Found(c containers.Container) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, key := report{c.Runtime, c.ID}, keyOf(&c)
	if before, ok := a.subjectOf[r]; ok && before != key { // renamed
		a.drop(r, before)
	}
	s := a.subjects[key]
	if s == nil {
		s = &subject{key: key, since: a.now(), reports: map[report]containers.Container{}, put: map[string]put{}}
		a.subjects[key] = s
	}
	s.reports[r] = c
	if c.Detailed {
		delete(s.reports, formerly)
	}
	a.subjectOf[r] = key
	a.changed = true
	delete(a.recalled, r)
	a.evaluate(s)
}

// Removed implements containers.Sink.
func (a *agent) Removed(runtime, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := report{runtime, id}
	if key, ok := a.subjectOf[r]; ok {
		a.drop(r, key)
	}
}

// drop removes a report of a subject. A subject without reports is gone. A runtime forgets a container before the kubelet
// removes its output, so the last report with declarations is kept until then.
func (a *agent) drop(r report, key string) {
	s := a.subjects[key]
	a.changed = true
	was := s.reports[r]
	delete(a.subjectOf, r)
	delete(s.reports, r)
	if was.Detailed && !s.detailed() {
		was.Running = false
		s.reports[formerly] = was
	}
	if s.reported() {
		a.evaluate(s)
		return
	}
	s.leave()
	delete(a.subjects, key)
	for _, id := range slices.Sorted(maps.Keys(s.put)) { // the files, and then the mounted files of the same container
		if a.yields(s, id) && !a.inherit(id) {
			a.end(id)
		}
	}
}

// inherit gives an origin whose subject is gone to another subject that declares the same files, and reports whether there
// is one.
func (a *agent) inherit(id string) bool {
	for _, s := range a.subjects {
		if s.standsBack == id {
			a.evaluate(s)
			if _, ok := s.put[id]; ok {
				return true
			}
		}
	}
	return false
}

func (a *agent) end(id string) {
	a.tailer.End(id)
	time.AfterFunc(routeTime, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, s := range a.subjects { // it may have come back
			if _, ok := s.put[id]; ok {
				return
			}
		}
		a.routes.forget(id)
	})
}

// Listed implements containers.Sink.
func (a *agent) Listed(inventory string, tooLarge []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, listed := a.inventories[inventory]
	a.inventories[inventory] = err
	a.tooLarge[inventory] = tooLarge
	if err == nil {
		a.confirm(inventory)
	}
	if err == nil && (!listed || before != nil) {
		for _, s := range a.subjects { // a volume may have waited for it
			if !s.retry.IsZero() {
				a.evaluate(s)
			}
		}
	}
	if a.listed != nil {
		a.listed(a.inventories)
	}
}

// setRules applies the rules of the file to the host and to all containers.
func (a *agent) setRules(rules []*declare.Rule, problems []declare.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules, a.ruleProblems = rules, problems
	select {
	case <-a.rulesRead:
	default:
		close(a.rulesRead)
	}
	for _, p := range problems {
		notice.RuleInvalid.Log(a.log, "key", p.Key, "problem", p.Message)
	}
	a.evaluateHost()
	for _, s := range a.subjects {
		a.evaluate(s)
	}
}

// evaluateHost follows the host's own files that rules declare. The caller holds mu.
func (a *agent) evaluateHost() {
	now := map[string]put{}
	for _, r := range a.rules {
		if !r.Host {
			continue
		}
		set := a.dialect.Read(declare.Input{Rules: []*declare.Rule{r}})
		p := a.hostFiles(r.Name, set.Declarations)
		now[p.origin.ID] = p
	}
	a.ruleProblems = append(a.ruleProblems, a.replace(nil, a.hostRules, now)...)
	a.hostRules = now
}

// watch evaluates, until ctx ends, the containers for which no inventory has answered in time, and those with a volume that
// could not be opened. It stores the known containers in the file at path.
func (a *agent) watch(ctx context.Context, path string) {
	every := time.NewTicker(answerTime / 4)
	defer every.Stop()
	defer a.loop.Wait()
	for {
		a.loop.Turn(a.now())
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		a.mu.Lock()
		for _, s := range a.subjects {
			if !s.evaluated || !s.retry.IsZero() && a.now().After(s.retry) {
				a.evaluate(s)
			}
		}
		a.mu.Unlock()
		a.remember(path)
	}
}

// evaluate decides what is collected from a subject, and tells the tailer what has changed.
func (a *agent) evaluate(s *subject) {
	v := s.view()
	if !v.Detailed && !s.evaluated && a.now().Sub(s.since) < answerTime {
		return
	}
	s.evaluated = true
	before := s.problems
	s.problems, s.warnings, s.retry, s.captured = nil, nil, time.Time{}, nil
	if s.left = v.leftOut(a.self); s.left != "" {
		a.replace(s, s.put, nil)
		s.put = nil
		s.leave()
		return
	}
	set := a.declared(&v)
	s.problems, s.warnings = set.Errors, set.Warnings
	now := a.puts(s, &v, &set)
	s.problems = append(s.problems, a.replace(s, s.put, now)...)
	s.put = now
	for _, p := range s.problems {
		if !slices.Contains(before, p) {
			telemetry.DeclarationNotice(p.Key, false).LogAt(slog.LevelWarn, a.log, "container", v.name(), "key", p.Key, "problem", p.Message)
		}
	}
}

// choosing returns the rules that match a container. The caller holds mu.
func (a *agent) choosing(s declare.Subject) (chosen []*declare.Rule) {
	for _, r := range a.rules {
		if r.Match(&s) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

// rulesOf is choosing for a caller that does not hold mu.
func (a *agent) rulesOf(s declare.Subject) []*declare.Rule {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.choosing(s)
}

// declared reads what a container, its Pod and the rules declare.
func (a *agent) declared(v *view) declare.Set {
	in := declare.Input{Annotations: v.Pod.Annotations, HideValues: a.shows, Rules: a.choosing(v.subject())}
	if v.ownDeclarations() {
		in.Labels, in.Env = v.Labels, v.Env
	}
	if a.settings.DefaultCollect == declare.Stdout {
		in.DefaultTarget = a.settings.DefaultTarget
	}
	set := a.dialect.Read(in)
	a.refuseTopics(&set)
	for _, name := range v.Unresolved {
		if a.dialect.Concerns(name) {
			set.Errors = append(set.Errors, declare.Problem{Key: name, Message: "its value is in a Secret or ConfigMap that may not be read: write the value, or a rule"})
		}
	}
	// A Pod's annotations apply to all of its containers, unless they name one.
	set.Declarations = slices.DeleteFunc(set.Declarations, func(d declare.Declaration) bool {
		return d.Container != "" && v.Pod.Container != "" && d.Container != v.Pod.Container
	})
	return set
}

// puts returns what the tailer is to follow of a subject, by the origin's ID.
func (a *agent) puts(s *subject, v *view, set *declare.Set) map[string]put {
	var output, files []declare.Declaration
	for _, d := range set.Declarations {
		if d.HasStdout() {
			output = append(output, d)
		}
		if len(d.Paths()) > 0 {
			files = append(files, d)
		}
	}
	tags := append(a.labelTags(v), deliver.Tags(set.Metadata)...)
	now := map[string]put{}
	if v.captured() {
		s.captured = a.captured(v)
	} else if len(output) > 0 {
		for _, l := range v.logs {
			p := a.output(s, v, l, output, tags)
			now[p.origin.ID] = p
		}
		if why := v.noStdout(); why != "" {
			s.problems = append(s.problems, declare.Problem{Key: output[0].Name, Message: why})
		}
	}
	if len(files) > 0 && v.Detailed && !v.Waiting && a.claim(s, v) {
		p, problems := a.files(s, v, files, tags)
		s.problems = append(s.problems, problems...)
		now[p.origin.ID] = p
		for _, p := range a.singles(s, v, files, tags) {
			now[p.origin.ID] = p
		}
	} else {
		s.leave()
	}
	return now
}

// captured returns the declarations of output of a container whose output a logging binary captures.
func (a *agent) captured(v *view) []declare.Declaration {
	options := maps.Clone(v.Log.Options)
	for _, own := range []string{"spool", "when-full", "block-timeout"} { // the logger's own options
		delete(options, own)
	}
	set := readCaptured(a.dialect, a.settings.DefaultTarget, a.choosing(v.subject()), &manifest.Container{Labels: v.Labels, Env: v.Env, Options: options})
	return slices.DeleteFunc(set.Declarations, func(d declare.Declaration) bool { return !d.HasStdout() })
}

// claim claims the origin of the subject's files and reports whether it succeeded. A container and its replacement may both
// be known for a while. The running one gets the origin; if both run, the younger one.
func (a *agent) claim(s *subject, v *view) bool {
	id := s.filesID(v)
	s.standsBack = ""
	if other := a.claims[id]; other != nil && other != s {
		o := other.view()
		if o.Running && (!v.Running || o.Created.After(v.Created)) {
			s.standsBack = id
			return false
		}
		other.loses(id)
	}
	a.claims[id] = s
	return true
}

// yields gives up the subject's claim to an origin, and reports whether no other subject has claimed it.
func (a *agent) yields(s *subject, id string) bool {
	if other := a.claims[id]; other != nil && other != s {
		return false
	}
	delete(a.claims, id)
	return true
}

// replace tells the tailer which origins are new, changed or no longer wanted. s is their subject; nil for the host's own files.
func (a *agent) replace(s *subject, before, now map[string]put) (problems []declare.Problem) {
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[id]; !ok && a.yields(s, id) && !a.inherit(id) {
			a.tailer.Withdraw(id)
			a.routes.forget(id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		p := now[id]
		old, followed := before[id]
		if !followed || old.version != p.version {
			a.routes.set(id, p.route)
			for _, err := range a.tailer.Put(p.origin) {
				problems = append(problems, declare.Problem{Key: err.Selection, Message: err.Pattern + ": " + err.Err.Error()})
			}
		}
		if !followed || old.stopped != p.stopped { // another subject may have set it before
			a.tailer.Stopped(id, p.stopped)
		}
	}
	return problems
}

// labelTags returns the labels that the settings choose as tags.
func (a *agent) labelTags(v *view) (tags []record.Tag) {
	for _, name := range a.settings.LabelTags {
		if value, ok := v.Labels[name]; ok {
			tags = append(tags, record.Tag{Key: name, Value: value})
		} else if value, ok := v.Pod.Labels[name]; ok {
			tags = append(tags, record.Tag{Key: name, Value: value})
		}
	}
	return tags
}

// writer returns the tags that say who wrote a record.
func (a *agent) writer(v *view) []record.Tag {
	labels := v.Labels
	if v.Pod.Name != "" {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels["io.kubernetes.pod.name"], labels["io.kubernetes.pod.namespace"] = v.Pod.Name, v.Pod.Namespace
		labels["io.kubernetes.pod.uid"], labels["io.kubernetes.container.name"] = v.Pod.UID, v.Pod.Container
	}
	c := origin.Container{Name: v.Name, ImageName: v.Image, Labels: labels}
	if v.Runtime == "docker" || v.Runtime == "cri" || v.Runtime == "containerd" { // the others have IDs of their own
		c.ID = v.BareID()
	}
	tags := c.Tags(a.hostName, a.settings.NodeName)
	if o := v.Pod.Owner; o.Name != "" {
		tags = append(tags, record.Tag{Key: "k8s_owner_kind", Value: o.Kind}, record.Tag{Key: "k8s_owner_name", Value: o.Name})
	}
	return append(tags, a.hostTags()...)
}

// hostTags returns the tags of all records of this host.
func (a *agent) hostTags() []record.Tag {
	if a.settings.HostIP == "" {
		return nil
	}
	return []record.Tag{{Key: "host_ip", Value: a.settings.HostIP}}
}
