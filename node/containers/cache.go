// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"maps"
	"sync"
)

// inspecting bounds how many containers Refresh inspects at once.
const inspecting = 4

// Cache holds the containers that an inventory has inspected. A container that keeps running changes in no way that a list
// would not show, so that a list inspects only those that are new, were started or have ended. The zero value is empty.
type Cache struct {
	mu    sync.Mutex
	known map[string]Container
	// doubted holds the IDs of known containers that could not be inspected completely.
	doubted map[string]bool
}

// Get returns the cached container with an ID.
func (c *Cache) Get(id string) (Container, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[id]
	return known, ok
}

// Put stores a container and returns what it stored. Once a container has ended, no source reports where its root file
// system is; Put then keeps the directories of the earlier entry.
func (c *Cache) Put(now Container) Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.known[now.ID]; ok && now.Files.Upper == "" {
		now.Files.Upper, now.Files.Lower = old.Files.Upper, old.Files.Lower
	}
	if c.known == nil {
		c.known = map[string]Container{}
	}
	c.known[now.ID] = now
	delete(c.doubted, now.ID)
	return now
}

// Doubt makes the next list inspect a container again, but keeps its entry until then.
func (c *Cache) Doubt(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubted == nil {
		c.doubted = map[string]bool{}
	}
	c.doubted[id] = true
}

// settled returns the entry of a container that a list need not inspect again.
func (c *Cache) settled(id string, running bool) (Container, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[id]
	return known, ok && known.Running == running && !c.doubted[id]
}

// Forget removes a container's entry, so that the next list inspects it.
func (c *Cache) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, id)
}

// Refresh returns the listed containers and forgets all others. listed maps an ID to whether the container runs. inspect is
// called from several goroutines and stores its result by Put; if it fails, Refresh returns the cached container.
func (c *Cache) Refresh(ctx context.Context, listed map[string]bool, inspect func(context.Context, string) (Container, error)) []Container {
	var work sync.WaitGroup
	var mu sync.Mutex
	all := make([]Container, 0, len(listed))
	slots := make(chan struct{}, inspecting)
	for id, running := range listed {
		if known, ok := c.settled(id, running); ok {
			mu.Lock()
			all = append(all, known)
			mu.Unlock()
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			now, err := inspect(ctx, id)
			known, ok := c.Get(id)
			switch {
			case errors.Is(err, ErrGone):
				return
			case err != nil && !ok:
				return
			case err != nil:
				now = known
			}
			mu.Lock()
			all = append(all, now)
			mu.Unlock()
		})
	}
	work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.known, func(id string, _ Container) bool { _, there := listed[id]; return !there })
	maps.DeleteFunc(c.doubted, func(id string, _ bool) bool { _, there := listed[id]; return !there })
	return all
}
