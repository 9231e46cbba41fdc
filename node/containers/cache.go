// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"maps"
	"sync"
)

// inspecting bounds how many containers are inspected at once.
const inspecting = 4

// Cache remembers what an inventory has inspected. Of a container that runs on, nothing changes that a list does not
// tell, so that a list asks only about those that are new, were started or have ended. Its zero value is empty.
type Cache struct {
	mu    sync.Mutex
	known map[string]Container
	// doubted are those of known of which something could not be told.
	doubted map[string]bool
}

// Get returns what is remembered of a container.
func (c *Cache) Get(id string) (Container, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[id]
	return known, ok
}

// Put remembers a container. Where it has ended, nobody tells any more where its root file system is: that is taken from
// what was remembered, and what is remembered is returned.
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

// Doubt makes the next list ask about a container of which something could not be told, but is remembered until then.
func (c *Cache) Doubt(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubted == nil {
		c.doubted = map[string]bool{}
	}
	c.doubted[id] = true
}

// settled returns what is remembered of a container that a list need not ask about.
func (c *Cache) settled(id string, running bool) (Container, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[id]
	return known, ok && known.Running == running && !c.doubted[id]
}

// Forget makes the next list ask about a container.
func (c *Cache) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, id)
}

// Refresh returns the containers that were listed, by whether they run, and forgets all others. inspect, which is called
// from several goroutines, Puts what it learns; if it fails, the remembered container is returned.
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
