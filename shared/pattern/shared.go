// SPDX-License-Identifier: Apache-2.0

package pattern

import "sync"

// shared holds patterns that were compiled, so that the same expression, declared by thousands of containers, is
// compiled once and held once.
var shared = cache{patterns: make(map[string]*Pattern)}

const (
	// maxShared and maxSharedCost bound what the cache holds on its own account to about 10 MB.
	maxShared     = 256
	maxSharedCost = 1_000
)

// cache is a bounded set of patterns by expression. It is safe for concurrent use.
type cache struct {
	mu       sync.Mutex
	patterns map[string]*Pattern
}

func (c *cache) get(expr string) *Pattern {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.patterns[expr]
}

// put keeps p. A full cache loses another pattern for it, whichever: those in use live on with their users.
func (c *cache) put(expr string, p *Pattern) {
	if p.cost > maxSharedCost {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.patterns) >= maxShared {
		for other := range c.patterns {
			delete(c.patterns, other)
			break
		}
	}
	c.patterns[expr] = p
}
