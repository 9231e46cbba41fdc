// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/tail/find"
	"github.com/remora-logs/remora/shared/telemetry"
)

// applyDeclarations applies a set of declarations. An error in one does not affect the others.
func (c *sidecar) applyDeclarations(set declare.Set) {
	problems := deliver.Problems(set, "")
	labels, err := c.labelTags()
	if err != nil {
		problems = append(problems, telemetry.Problem{Key: "REMORA_LABELS", Message: err.Error()})
	}
	labels = append(labels, deliver.Tags(set.Metadata)...)
	var selections []tail.Selection
	wanted := map[string]delivered{}
	for _, d := range set.Declarations {
		if d.HasStdout() {
			problems = append(problems, telemetry.Problem{Key: d.Name, Warning: len(d.Paths()) > 0,
				Message: "a sidecar can't collect stdout: have the application write a file, or use the log driver or the node agent"})
		}
		more, err := c.selectionsOf(d, labels)
		if err != nil {
			problems = append(problems, telemetry.Problem{Key: d.Name, Message: err.Error()})
			continue
		}
		selections = append(selections, more...)
		wanted[d.Name] = delivered{d, labels}
	}
	c.mu.Lock()
	c.wanted = wanted
	c.mu.Unlock()
	// The empty ID keeps the positions of earlier versions valid.
	pod := tail.Origin{Root: find.Host(), Selections: selections, DeleteAfter: c.settings.DeleteAfter}
	for _, err := range c.tailer.Put(pod) {
		problems = append(problems, telemetry.Problem{Key: err.Selection, Message: err.Pattern + ": " + err.Err.Error()})
	}
	c.setProblems(problems)
	c.log.Info("declarations applied", "selections", len(selections), "problems", len(problems))
}

// setProblems stores the problems for the status, and logs the new ones.
func (c *sidecar) setProblems(problems []telemetry.Problem) {
	c.mu.Lock()
	before := c.problems
	c.problems = problems
	c.mu.Unlock()
	for _, p := range problems {
		switch {
		case slices.Contains(before, p):
		case p.Warning:
			notice.DeclarationWarning.Log(c.log, "key", p.Key, "reason", p.Message)
		default:
			telemetry.DeclarationNotice(p.Key, false).Log(c.log, "key", p.Key, "error", p.Message)
		}
	}
}

// labelTags returns the Pod's labels that REMORA_LABEL_TAGS selects.
func (c *sidecar) labelTags() ([]record.Tag, error) {
	if c.settings.Labels == "" || len(c.settings.LabelTags) == 0 {
		return nil, nil
	}
	data, err := os.ReadFile(c.settings.Labels)
	if err != nil {
		return nil, err
	}
	labels, err := declare.ReadDownward(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.settings.Labels, err)
	}
	var tags []record.Tag
	for _, name := range c.settings.LabelTags {
		if value, ok := labels[name]; ok {
			tags = append(tags, record.Tag{Key: name, Value: value})
		}
	}
	return tags, nil
}

// delivered is a declaration with the tags that all declarations share.
type delivered struct {
	declaration declare.Declaration
	labels      []record.Tag
}

// declared returns the declarations in effect with their files, for the status. Files is -1 while the count is not known.
func (c *sidecar) declared() []telemetry.Declaration {
	files, busy := c.tailer.Files(func(string) bool { return true })
	found := map[string][]telemetry.File{}
	for _, f := range files {
		for _, name := range f.Declarations {
			found[name] = append(found[name], telemetry.File{Declaration: name, Path: f.Path, Size: f.Size, Offset: f.Offset, State: f.State})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []telemetry.Declaration
	for _, name := range slices.Sorted(maps.Keys(c.wanted)) {
		d := c.wanted[name].declaration
		if len(d.Paths()) == 0 {
			continue // it declares stdout only, which applyDeclarations refuses
		}
		of := telemetry.Declaration{Container: c.writerOf(d), Name: name, Sources: d.Paths(), Target: d.Target, Format: d.Format,
			Outputs: c.delivery.Outputs(d), Files: len(found[name]), Found: found[name]}
		if len(busy) > 0 {
			of.Files = -1
		}
		all = append(all, of)
	}
	return all
}

// writerOf returns the name, as the status shows it, of the container that writes a declaration's files.
func (c *sidecar) writerOf(d declare.Declaration) string {
	origin := c.settings.Pod.Tags(d.Container, c.settings.HostName())
	return record.NewSource("", d.Name, "", "", nil, origin).Writer()
}

// selectionsOf returns the tailer's selections for a declaration, one for each of its paths. labels are the tags that all
// declarations share.
func (c *sidecar) selectionsOf(d declare.Declaration, labels []record.Tag) (all []tail.Selection, err error) {
	version, err := json.Marshal(struct {
		Declaration declare.Declaration
		Labels      []record.Tag
	}{d, labels})
	if err != nil {
		return nil, err
	}
	s := tail.Selection{
		Name: d.Name, Version: string(version), Exclude: declare.SplitList(d.Files["exclude"]),
		IgnoreOlder: c.settings.IgnoreOlder, FromEnd: c.settings.ReadFrom == "end", Outputs: c.delivery.Outputs(d),
	}
	if from, ok := d.Files["read_from"]; ok {
		s.FromEnd = from == "end"
	}
	if text, ok := d.Files["ignore_older"]; ok {
		if s.IgnoreOlder, err = time.ParseDuration(text); err != nil {
			return nil, fmt.Errorf("ignore_older: %w", err)
		}
	}
	for _, s.Pattern = range d.Paths() {
		all = append(all, s)
	}
	return all, nil
}

// Attach implements tail.Sink.
func (c *sidecar) Attach(s stream.Stream, _ *tail.Origin, sel *tail.Selection, path, output string, done func()) (func(), error) {
	c.mu.Lock()
	d, ok := c.wanted[sel.Name]
	c.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("declaration %s was withdrawn", sel.Name)
	}
	feed, err := c.delivery.Attach(deliver.Request{
		Declaration: d.declaration, Stream: s, Path: path, Tags: d.labels,
		Origin: c.settings.Pod.Tags(d.declaration.Container, c.settings.HostName()), Output: output, Series: path, Keep: true, Done: done,
	})
	if err != nil {
		return nil, err
	}
	return feed.Detach, nil
}
