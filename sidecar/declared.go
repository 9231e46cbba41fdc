// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// declared puts a set of declarations into effect. What is wrong with some keeps none of the others from it.
func (c *sidecar) declared(set declare.Set) {
	var problems []telemetry.Problem
	for _, p := range set.Errors {
		problems = append(problems, telemetry.Problem{Key: p.Key, Message: p.Message})
	}
	for _, p := range set.Warnings {
		problems = append(problems, telemetry.Problem{Key: p.Key, Message: p.Message, Warning: true})
	}
	labels, err := c.labelTags()
	if err != nil {
		problems = append(problems, telemetry.Problem{Key: "REMORA_LABELS", Message: err.Error()})
	}
	for _, k := range slices.Sorted(maps.Keys(set.Metadata)) {
		labels = append(labels, record.Tag{Key: k, Value: set.Metadata[k]})
	}
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
		IgnoreOlder: c.settings.IgnoreOlder, FromEnd: c.settings.ReadFrom == "end", Outputs: d.Outputs,
	}
	if from, ok := d.Files["read_from"]; ok {
		w.FromEnd = from == "end"
	}
	if text, ok := d.Files["ignore_older"]; ok {
		if w.IgnoreOlder, err = time.ParseDuration(text); err != nil {
			return w, fmt.Errorf("ignore_older: %w", err)
		}
	}
	if len(w.Outputs) == 0 {
		w.Outputs = c.settings.Outputs
	}
	tags := make([]record.Tag, 0, len(d.Tags)+len(labels))
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		tags = append(tags, record.Tag{Key: k, Value: d.Tags[k]})
	}
	tags = append(tags, labels...)
	w.Attach = func(s stream.Stream, path, output string, done func()) (func(), error) {
		return c.attach(d, tags, s, path, output, done)
	}
	return w, nil
}

// attach hands a file's stream to the pipeline.
func (c *sidecar) attach(d declare.Declaration, tags []record.Tag, s stream.Stream, path, output string, done func()) (func(), error) {
	src := record.NewSource(s.Key(), d.Name, path, d.Target, tags, c.settings.Pod.Tags(d.Container, c.settings.HostName()))
	open := func() (cut.Cutter, *format.Chain, error) {
		chain, err := format.New(d, src, c.log)
		if err != nil {
			return nil, nil, err
		}
		cutter, err := c.cutter(d, src)
		return cutter, chain, err
	}
	feed, err := c.pipeline.Attach(pipeline.Route{Stream: s, Open: open, Source: src, Output: output, Keep: true, Done: done})
	if err != nil {
		return nil, err
	}
	return feed.Detach, nil
}

func (c *sidecar) cutter(d declare.Declaration, src *record.Source) (cut.Cutter, error) {
	switch name := d.Files["encoding"]; name {
	case "", "utf-8":
		return cut.NewLines(src, c.settings.MaxRecordBytes), nil
	default:
		return cut.NewEncoded(name, src, c.settings.MaxRecordBytes)
	}
}
