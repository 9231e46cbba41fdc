// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/remora-logs/remora/shared/notice"
)

// listEvery is how often all containers are listed in addition to the reported changes, in case one was missed.
const listEvery = 30 * time.Second

// maxInspections bounds how many changed containers are inspected at once. While a runtime starts or removes a container, it
// may not answer questions about it; other containers that come and go meanwhile must still be found.
const maxInspections = 16

// maxWaiting bounds how many changes wait to be inspected. If there are more, the source of changes blocks.
const maxWaiting = 1024

// Sink receives what an inventory finds. For each inventory, its methods are called by one goroutine.
type Sink interface {
	// Found reports a container that is new or has changed.
	Found(c Container)
	// Removed reports that a container no longer exists.
	Removed(runtime, id string)
	// Listed reports the end of a list. If err is nil, all containers were reported except those in tooLarge, which holds the
	// IDs of containers whose descriptions exceed the limit.
	Listed(inventory string, tooLarge []string, err error)
}

// Follow reports the containers of inv to sink until ctx ends. An inventory that fails to answer removes no container.
func Follow(ctx context.Context, inv Inventory, sink Sink, log *slog.Logger) {
	f := follower{inv: inv, sink: sink, log: log.With("inventory", inv.Name()), known: map[string]Container{}}
	pause := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2,
		MaxInterval: 10 * time.Second}
	for ctx.Err() == nil {
		begun := time.Now()
		err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > listEvery {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		f.log.Debug("source of changes broke, listing again", "error", err, "after", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// follower is the state of one Follow.
type follower struct {
	inv   Inventory
	sink  Sink
	log   *slog.Logger
	known map[string]Container
	down  bool     // the last list failed
	large []string // containers that the last list left out

	// inspected receives the answers of pending inspections. asked holds these by ID; its value is true if the container has
	// changed again since. Both belong to one call of watch.
	inspected chan inspected
	asked     map[string]bool
}

// inspected is what an inventory answered about a container.
type inspected struct {
	id        string
	container Container
	err       error
}

// watch lists the containers and follows changes until the source of changes fails.
func (f *follower) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	changes := make(chan string, maxWaiting)
	broke := make(chan error, 1)
	f.inspected, f.asked = make(chan inspected, maxInspections), make(map[string]bool, maxInspections)
	defer func() {
		cancel()
		<-broke
		for range f.asked {
			<-f.inspected
		}
	}()
	go func() {
		broke <- f.inv.Watch(ctx, func(id string) {
			select {
			case changes <- id:
			case <-ctx.Done():
			}
		})
		close(broke)
	}()
	f.list(ctx) // even if the source of changes fails at once
	every := time.NewTicker(listEvery)
	defer every.Stop()
	for {
		next := changes
		if len(f.asked) == maxInspections {
			next = nil // until one has answered
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broke:
			return err
		case <-every.C:
			f.list(ctx)
		case id := <-next:
			if id == "" {
				f.list(ctx)
			} else {
				f.inspect(ctx, id)
			}
		case answer := <-f.inspected:
			f.answered(ctx, answer)
		}
	}
}

// list reports to the sink what has changed since the last report.
func (f *follower) list(ctx context.Context) {
	all, err := f.inv.List(ctx)
	if ctx.Err() != nil {
		return
	}
	var large *TooLarge
	var incomplete *Incomplete
	if tooLarge := errors.As(err, &large); errors.As(err, &incomplete) {
		err = incomplete
	} else if tooLarge {
		err = nil
	}
	if f.down != (err != nil) {
		f.down = err != nil
		if f.down {
			notice.ContainersUnlisted.Log(f.log, "error", err)
		} else {
			f.log.Info("containers can be listed again")
		}
	}
	if err != nil && incomplete == nil {
		f.sink.Listed(f.inv.Name(), f.large, err)
		return
	}
	present := make(map[string]bool, len(all))
	for _, c := range all {
		present[c.ID] = true
		f.found(c)
	}
	f.leaveOut(large, present)
	for id := range f.known {
		if !present[id] {
			f.removed(id)
		}
	}
	f.sink.Listed(f.inv.Name(), f.large, err)
}

// leaveOut logs once for each container that it is too large, and marks it as present.
func (f *follower) leaveOut(large *TooLarge, present map[string]bool) {
	before := f.large
	f.large = nil
	if large == nil {
		return
	}
	f.large = large.IDs
	for _, id := range f.large {
		present[id] = true
		if !slices.Contains(before, id) {
			notice.ContainerTooLarge.Log(f.log, "container", id)
		}
	}
}

// inspect asks about a container without waiting for the answer. At most one request per container is pending, so that
// answers cannot overtake each other.
func (f *follower) inspect(ctx context.Context, id string) {
	if _, underWay := f.asked[id]; underWay {
		f.asked[id] = true
		return
	}
	f.asked[id] = false
	go func() {
		c, err := f.inv.Inspect(ctx, id)
		f.inspected <- inspected{id, c, err} // never blocks: the channel holds maxInspections
	}()
}

func (f *follower) answered(ctx context.Context, a inspected) {
	again := f.asked[a.id]
	delete(f.asked, a.id)
	switch {
	case errors.Is(a.err, ErrGone):
		f.removed(a.id)
	case a.err != nil: // the next list brings it
		f.log.Debug("container can't be inspected", "container", a.id, "error", a.err)
	default:
		f.found(a.container)
	}
	if again {
		f.inspect(ctx, a.id)
	}
}

func (f *follower) found(c Container) {
	if old, ok := f.known[c.ID]; ok && reflect.DeepEqual(old, c) {
		return
	}
	f.known[c.ID] = c
	f.sink.Found(c)
}

func (f *follower) removed(id string) {
	if _, ok := f.known[id]; ok {
		delete(f.known, id)
		f.sink.Removed(f.inv.Name(), id)
	}
}
