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

// listEvery is how often everything is listed although the source of changes tells of each: it may have missed one, and
// nobody would ever find out.
const listEvery = 30 * time.Second

// maxInspections bounds how many changed containers are inspected at once. A runtime that is busy with one, starting or removing
// it, does not answer about that one meanwhile; a container that comes and goes in that time has to be found all the same.
const maxInspections = 16

// maxWaiting bounds how many changes wait to be inspected. The source of changes waits while there are more.
const maxWaiting = 1024

// Sink is told what an inventory finds. Its methods are called by one goroutine for each inventory.
type Sink interface {
	// Found tells of a container that is new or has changed.
	Found(c Container)
	// Removed tells that there is no such container any more.
	Removed(runtime, id string)
	// Listed tells that all there is was told, err that it could not be: err is nil, or what is wrong. tooLarge are the
	// containers, by ID, that could not be told alone.
	Listed(inventory string, tooLarge []string, err error)
}

// Follow tells sink of inv's containers until ctx ends. An inventory that does not answer removes nothing.
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

	// inspected are the answers of inspections under way, which asked holds by ID: true where the container has changed
	// since. Both belong to one watch.
	inspected chan inspected
	asked     map[string]bool
}

// inspected is what an inventory answered about a container.
type inspected struct {
	id        string
	container Container
	err       error
}

// watch lists and follows changes until the source of these breaks.
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
	f.list(ctx) // whether or not there is a source of changes
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

// list tells the sink what has changed since it was told last.
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

// leaveOut says once of each container that it is too large. It is present all the same.
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

// inspect asks about a container without waiting for the answer. There is one question about a container at a time, so that
// answers can't overtake each other.
func (f *follower) inspect(ctx context.Context, id string) {
	if _, underWay := f.asked[id]; underWay {
		f.asked[id] = true
		return
	}
	f.asked[id] = false
	go func() {
		c, err := f.inv.Inspect(ctx, id)
		f.inspected <- inspected{id, c, err} // there is room for all that are asked
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
