// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// declared puts a set of declarations into effect. What is wrong with some keeps none of the others from it.
func (c *sidecar) declared(set declare.Set) {
	problems := deliver.Problems(set, "")
	labels, err := c.labelTags()
	if err != nil {
		problems = append(problems, telemetry.Problem{Key: "REMORA_LABELS", Message: err.Error()})
	}
	labels = append(labels, deliver.Tags(set.Metadata)...)
	var watches []tail.Watch
	for _, d := range set.Declarations {
		if d.Source == declare.Stdout {
			problems = append(problems, telemetry.Problem{Key: d.Name,
				Message: "a sidecar can't collect stdout: have the application write a file, or use the log driver"})
			continue
		}
		w, err := c.watchOf(d, labels)
		if err != nil {
			problems = append(problems, telemetry.Problem{Key: d.Name, Message: err.Error()})
			continue
		}
		watches = append(watches, w)
	}
	for _, err := range c.tailer.Set(watches) {
		problems = append(problems, telemetry.Problem{Key: err.Declaration, Message: err.Pattern + ": " + err.Err.Error()})
	}
	c.note(problems)
	c.log.Info("declarations are in effect", "declarations", len(watches), "problems", len(problems))
}

// note keeps what is wrong for the status, and says what of it is new.
func (c *sidecar) note(problems []telemetry.Problem) {
	c.mu.Lock()
	before := c.problems
	c.problems = problems
	c.mu.Unlock()
	for _, p := range problems {
		switch {
		case slices.Contains(before, p):
		case p.Warning:
			c.log.Warn("declaration", "key", p.Key, "warning", p.Message)
		default:
			c.log.Error("declaration is wrong", "key", p.Key, "error", p.Message)
		}
	}
}

// labelTags are the Pod's labels that were chosen to be tags.
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

// watchOf makes of a declaration what the tailer is to follow. labels are tags for all of them.
func (c *sidecar) watchOf(d declare.Declaration, labels []record.Tag) (tail.Watch, error) {
	version, err := json.Marshal(struct {
		Declaration declare.Declaration
		Labels      []record.Tag
	}{d, labels})
	if err != nil {
		return tail.Watch{}, err
	}
	w := tail.Watch{
		Name: d.Name, Pattern: d.Source, Version: string(version), Exclude: declare.SplitList(d.Files["exclude"]),
		IgnoreOlder: c.settings.IgnoreOlder, FromEnd: c.settings.ReadFrom == "end", Outputs: c.delivery.Outputs(d),
	}
	if from, ok := d.Files["read_from"]; ok {
		w.FromEnd = from == "end"
	}
	if text, ok := d.Files["ignore_older"]; ok {
		if w.IgnoreOlder, err = time.ParseDuration(text); err != nil {
			return w, fmt.Errorf("ignore_older: %w", err)
		}
	}
	w.Attach = func(s stream.Stream, path, output string, done func()) (func(), error) {
		feed, err := c.delivery.Attach(deliver.Request{
			Declaration: d, Stream: s, Path: path, Tags: labels, Origin: c.settings.Pod.Tags(d.Container, c.settings.HostName()),
			Output: output, Keep: true, Done: done,
		})
		if err != nil {
			return nil, err
		}
		return feed.Detach, nil
	}
	return w, nil
}
