// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// askAgain is the delay before containerd is asked again after a failure.
	askAgain = 200 * time.Millisecond
	// maxLabels bounds the labels and variables that are kept of one container, in bytes.
	maxLabels = 128 << 10
	// maxSeen and maxSeenBytes bound the entries of labels.seen and their size.
	maxSeen, maxSeenBytes = 1024, 4 << 20
)

// errNotAsked is the error of describe if there is no containerd or REMORA_RUNTIME does not name it.
var errNotAsked = errors.New("containerd is not asked")

// labels holds what containerd knows about the containers that logging binaries capture.
type labels struct {
	describe func(ctx context.Context, id string) (containers.Container, error)
	kept     func() kept

	mu    sync.Mutex
	seen  map[string]seen // by the inventory's ID
	order []string        // keys of seen, oldest first
	bytes int
	exits map[string]time.Time // by the inventory's ID, of containers that have ended and still exist
}

// seen is a container that containerd has reported. It is kept because a short-lived container is gone before its log is found.
type seen struct {
	known         *manifest.Known
	size          int
	created, gone time.Time // gone is zero while the container exists
}

func newLabels(describe func(context.Context, string) (containers.Container, error), kept func() kept) *labels {
	return &labels{describe: describe, kept: kept, seen: map[string]seen{}, exits: map[string]time.Time{}}
}

// ask is a loggers.Ask.
func (l *labels) ask(ctx context.Context, c *manifest.Container) (*manifest.Known, error) {
	id := c.Namespace + "/" + c.ID
	for {
		now, err := l.describe(ctx, id)
		switch {
		case errors.Is(err, errNotAsked):
			return nil, nil
		case err == nil && !now.Created.After(c.Started):
			return l.known(&now, c.Options), nil
		case err == nil, errors.Is(err, containers.ErrGone): // gone, or another container has its ID now
			if known := l.recall(id, c.Started); known != nil {
				return known, nil
			}
			return nil, errors.New("it was removed before containerd was asked")
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(askAgain):
		}
	}
}

// known returns what is kept of a container: the selected labels and variables. If they exceed maxLabels, the largest are left
// out.
func (l *labels) known(c *containers.Container, options map[string]string) *manifest.Known {
	chosen, _ := origin.Container{Labels: c.Labels}.Attributes(map[string]string{"labels": options["labels"], "labels-regex": options["labels-regex"]})
	kept := l.kept()
	names := slices.DeleteFunc(slices.Collect(maps.Keys(c.Labels)), func(name string) bool {
		return !kept.label(name) && !slices.ContainsFunc(chosen, func(t record.Tag) bool { return t.Key == name })
	})
	size := func(name string) int { return len(name) + len(c.Labels[name]) }
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(size(a), size(b)), strings.Compare(a, b)) })
	k := &manifest.Known{Image: c.Image, Labels: map[string]string{}}
	left := maxLabels
	for _, name := range names {
		if left -= size(name); left < 0 {
			break
		}
		k.Labels[name] = c.Labels[name]
	}
	for _, kv := range c.Env {
		if name, _, _ := strings.Cut(kv, "="); kept.variable[name] && len(kv) <= left {
			k.Env = append(k.Env, kv)
			left -= len(kv)
		}
	}
	return k
}

// found stores a container, and removes the oldest ones beyond the bounds.
func (l *labels) found(c *containers.Container) {
	now := seen{known: l.known(c, nil), created: c.Created}
	for name, value := range now.known.Labels {
		now.size += len(name) + len(value)
	}
	for _, kv := range now.known.Env {
		now.size += len(kv)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.exits, c.ID); !c.Exited.IsZero() {
		l.exits[c.ID] = c.Exited
	}
	before, ok := l.seen[c.ID]
	if !ok {
		l.order = append(l.order, c.ID)
	}
	l.bytes += now.size - before.size
	l.seen[c.ID] = now
	for len(l.order) > maxSeen || l.bytes > maxSeenBytes {
		l.bytes -= l.seen[l.order[0]].size
		delete(l.seen, l.order[0])
		l.order = l.order[1:]
	}
}

// removed records that a container is gone.
func (l *labels) removed(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.exits, id)
	if s, ok := l.seen[id]; ok {
		s.gone = time.Now()
		l.seen[id] = s
	}
}

// exited reports whether the container of a log has ended since the log began. An earlier exit belongs to an earlier start of the
// container.
func (l *labels) exited(c *manifest.Container) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.exits[c.Namespace+"/"+c.ID].After(c.Started)
}

// recall returns what was stored of the container that had an ID at that time, or nil.
func (l *labels) recall(id string, at time.Time) *manifest.Known {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.seen[id]
	if s.known == nil || s.created.After(at) || !s.gone.IsZero() && s.gone.Before(at) {
		return nil
	}
	return s.known
}

// labelSink is an agent that also passes containerd's containers to labels.
type labelSink struct {
	*agent
	labels *labels
}

// Found implements containers.Sink.
func (s labelSink) Found(c containers.Container) {
	if c.Namespace != "" {
		s.labels.found(&c)
	}
	s.agent.Found(c)
}

// Removed implements containers.Sink.
func (s labelSink) Removed(runtime, id string) {
	s.labels.removed(id)
	s.agent.Removed(runtime, id)
}
