// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"

	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/tail"
)

// routes holds the route of each origin by ID. It has a lock of its own, because the tailer reads it while the agent, with its
// lock held, may be calling the tailer.
type routes struct {
	mu  sync.Mutex
	now map[string]*route
}

func (r *routes) set(id string, to *route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now[id] = to
}

func (r *routes) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, id)
}

func (r *routes) get(id string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now[id]
}

// sink attaches the tailer's files to the delivery. It implements tail.Sink.
type sink struct {
	routes   *routes
	delivery *deliver.Delivery
}

// Attach implements tail.Sink.
func (s *sink) Attach(from stream.Stream, origin *tail.Origin, sel *tail.Selection, path, output string, done func()) (func(), error) {
	r := s.routes.get(origin.ID)
	if r == nil {
		return nil, fmt.Errorf("nobody asks for files of %s any more", origin.ID)
	}
	d, ok := r.declarations[sel.Name]
	if !ok {
		return nil, fmt.Errorf("%s does not declare %s any more", origin.ID, sel.Name)
	}
	feed, err := s.delivery.Attach(deliver.Request{
		Declaration: d, Stream: from, Kind: r.kind, PartialTimeout: r.partialsAfter, Path: r.path(path), Tags: r.tags, Origin: r.writer,
		Output: output, Series: series(origin.ID, r.kind, path), Keep: true, Done: done,
	})
	if err != nil {
		return nil, err
	}
	return feed.Detach, nil
}

// series returns a key that a file shares with its predecessors and successors. For a file in a container it includes the path.
// For a container's output, whose files get a new name at each start, it is the origin alone.
func series(origin string, kind deliver.Kind, path string) string {
	if kind != deliver.Lines {
		return origin
	}
	return origin + "\x00" + path
}
