// SPDX-License-Identifier: Apache-2.0

package containers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
)

// runtime is an inventory that a test changes. Its events can be withheld, and their stream broken.
type runtime struct {
	mu      sync.Mutex
	there   map[string]containers.Container
	err     error
	lists   int
	changed func(string)
	broke   chan error
	deaf    bool                     // no source of changes
	busy    map[string]chan struct{} // containers that the runtime answers about once the channel is closed
}

func (*runtime) Name() string { return "test" }

func (r *runtime) List(context.Context) ([]containers.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lists++
	return slices.Collect(maps.Values(r.there)), r.err
}

func (r *runtime) Inspect(ctx context.Context, id string) (containers.Container, error) {
	r.mu.Lock()
	busy := r.busy[id]
	r.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			return containers.Container{}, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.there[id]; ok || r.err != nil {
		return c, r.err
	}
	return containers.Container{}, fmt.Errorf("%w: %s", containers.ErrGone, id)
}

func (r *runtime) Watch(ctx context.Context, changed func(string)) error {
	r.mu.Lock()
	if r.deaf {
		r.mu.Unlock()
		return errors.New("no events here")
	}
	r.changed, r.broke = changed, make(chan error, 1)
	r.mu.Unlock()
	changed("")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.broke:
		return err
	}
}

func (r *runtime) set(id string, c *containers.Container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c == nil {
		delete(r.there, id)
	} else {
		c.ID, c.Runtime = id, "test"
		r.there[id] = *c
	}
}

func (r *runtime) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *runtime) listed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lists
}

// seen is a sink that keeps what it was told.
type seen struct {
	mu    sync.Mutex
	there map[string]containers.Container
	told  int
	err   error

	tooLarge []string
}

func (s *seen) Found(c containers.Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there[c.ID] = c
	s.told++
}

func (s *seen) Removed(_, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.there, id)
	s.told++
}

func (s *seen) Listed(_ string, tooLarge []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tooLarge = tooLarge
	s.err = err
}

func (s *seen) wrong() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *seen) is(t *testing.T, told int, ids ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.ElementsMatch(t, ids, slices.Collect(maps.Keys(s.there)))
	require.Equal(t, told, s.told)
}

func follow(t *testing.T, r *runtime) *seen {
	s := &seen{there: map[string]containers.Container{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		containers.Follow(ctx, r, s, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runtime{there: map[string]containers.Container{}}
		r.set("a", &containers.Container{Running: true})
		s := follow(t, r)
		s.is(t, 1, "a")

		r.set("b", &containers.Container{Running: true})
		r.changed("b")
		s.is(t, 2, "a", "b")
		r.changed("b")
		s.is(t, 2, "a", "b") // nothing has changed
		r.set("b", &containers.Container{})
		r.changed("b")
		s.is(t, 3, "a", "b")
		r.set("b", nil)
		r.changed("b")
		s.is(t, 4, "a")

		// Nobody tells of c: the next full list finds it.
		r.set("c", &containers.Container{})
		s.is(t, 4, "a")
		time.Sleep(31 * time.Second)
		s.is(t, 5, "a", "c")

		// Nobody tells of d, but the stream of events breaks: everything is listed at once.
		r.set("d", &containers.Container{})
		r.broke <- errors.New("EOF")
		time.Sleep(time.Second)
		s.is(t, 6, "a", "c", "d")
	})
}

// A runtime that is down, or that has no events, removes nothing, and is asked again and again.
func TestFollowARuntimeThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runtime{there: map[string]containers.Container{}, deaf: true}
		r.set("a", &containers.Container{})
		s := follow(t, r)
		s.is(t, 1, "a")
		r.fail(errors.New("connection refused"))
		r.set("a", nil)
		time.Sleep(time.Hour)
		s.is(t, 1, "a")
		require.ErrorContains(t, s.wrong(), "connection refused")
		synctest.Wait()
		before := r.listed()
		time.Sleep(time.Hour)
		require.Less(t, r.listed()-before, 3600/5, "asked too often")
		r.fail(nil)
		r.set("b", &containers.Container{})
		time.Sleep(time.Minute)
		s.is(t, 3, "b")
		require.NoError(t, s.wrong())
	})
}

// A container that the runtime does not answer about, because it is starting or removing it, does not keep others from being
// found; and what changed of it meanwhile is asked again.
func TestAContainerThatTheRuntimeIsBusyWithHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		r := &runtime{there: map[string]containers.Container{}, busy: map[string]chan struct{}{"slow": busy}}
		s := follow(t, r)
		s.is(t, 0)
		r.set("slow", &containers.Container{})
		r.changed("slow")
		for i := range 100 {
			id := fmt.Sprint(i)
			r.set(id, &containers.Container{Running: true})
			r.changed(id)
			s.is(t, 2*i+1, id)
			r.set(id, nil)
			r.changed(id)
			s.is(t, 2*i+2)
		}
		r.set("slow", &containers.Container{Running: true})
		r.changed("slow")
		close(busy)
		s.is(t, 201, "slow")
		r.set("slow", nil)
		r.changed("slow")
		s.is(t, 202)
	})
}

// As many as are asked about at once may all stay unanswered: the follower ends all the same.
func TestFollowingEndsWhileTheRuntimeIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runtime{there: map[string]containers.Container{}, busy: map[string]chan struct{}{}}
		for i := range 40 {
			r.busy[fmt.Sprint(i)] = make(chan struct{})
		}
		s := follow(t, r)
		s.is(t, 0)
		for i := range 40 {
			r.changed(fmt.Sprint(i))
		}
		s.is(t, 0)
	})
}

// A container of which a runtime tells too much is named each time, and is not taken to be gone. The others are followed.
func TestFollowNamesWhatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runtime{there: map[string]containers.Container{}}
		r.set("a", &containers.Container{})
		r.set("large", &containers.Container{})
		s := follow(t, r)
		s.is(t, 2, "a", "large")
		r.set("large", nil)
		r.set("b", &containers.Container{})
		r.fail(&containers.TooLarge{IDs: []string{"large"}})
		time.Sleep(31 * time.Second)
		s.is(t, 3, "a", "large", "b")
		require.NoError(t, s.wrong())
		s.mu.Lock()
		require.Equal(t, []string{"large"}, s.tooLarge)
		s.mu.Unlock()
		r.fail(nil)
		time.Sleep(31 * time.Second)
		s.is(t, 4, "a", "b")
	})
}

// What a list that is not complete has is followed, and what is wrong with it is told.
func TestFollowTakesWhatAnIncompleteListHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runtime{there: map[string]containers.Container{}}
		r.set("a", &containers.Container{})
		s := follow(t, r)
		s.is(t, 1, "a")
		r.set("b", &containers.Container{})
		wrong := errors.New("a namespace can't be listed")
		r.fail(errors.Join(&containers.TooLarge{IDs: []string{"large"}}, &containers.Incomplete{Err: wrong}))
		time.Sleep(31 * time.Second)
		s.is(t, 2, "a", "b")
		require.ErrorIs(t, s.wrong(), wrong)
		require.NotContains(t, s.wrong().Error(), "16 MiB")
		r.fail(nil)
		time.Sleep(31 * time.Second)
		require.NoError(t, s.wrong())
	})
}
