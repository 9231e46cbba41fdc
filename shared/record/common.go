// SPDX-License-Identifier: Apache-2.0

package record

import "sync"

// Common holds a product of a batch that several outputs send, such as a request's body, so that outputs which need the same
// one make it only once. It lives until every taker has left. Its methods are safe for concurrent use.
type Common struct {
	mu      sync.Mutex
	takers  int // those that have not left
	key     any
	made    any
	release func()
}

// NewCommon returns a Common with one taker.
func NewCommon() *Common { return &Common{takers: 1} }

// Join adds a taker. At least one taker must not have left.
func (c *Common) Join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takers++
}

// Leave removes a taker. When all have left, the product is released.
func (c *Common) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.takers--; c.takers == 0 && c.release != nil {
		c.release()
		c.made, c.release = nil, nil
	}
}

// Made returns the product for key, which must identify everything that the product depends on besides the batch. The first
// call makes it with first, which also returns how to release it; concurrent calls wait. Made returns nil if the product was
// made under another key. Takers may use the product concurrently, each until it leaves.
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
