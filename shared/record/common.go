// SPDX-License-Identifier: Apache-2.0

package record

import "sync"

// Common is what an output has made of a batch that several outputs are sent, for the others that would make the same of
// it: a request's body, for instance. It lasts until each of them has had the batch once.
type Common struct {
	mu      sync.Mutex
	takers  int // who may still ask
	key     any
	made    any
	release func()
}

// NewCommon makes one for one taker.
func NewCommon() *Common { return &Common{takers: 1} }

// Join adds a taker. There must be one that has not left.
func (c *Common) Join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takers++
}

// Leave ends a taker's part. When all have left, what was made is released.
func (c *Common) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.takers--; c.takers == 0 && c.release != nil {
		c.release()
		c.made, c.release = nil, nil
	}
}

// Made returns what one of the takers has made of the batch under an equal key, which says all that it depends on beside the
// batch. The first who asks makes it, and says how it is released; whoever asks meanwhile waits. It is nil where something
// was made under another key. It may be used until the taker leaves, by several at a time.
func (c *Common) Made(key any, first func() (made any, release func())) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.key = key
		c.made, c.release = first()
	}
	if c.key != key {
		return nil
	}
	return c.made
}
