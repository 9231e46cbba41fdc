// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/remora-logs/remora/shared/output/internal/wire"
)

const (
	// maxMoved is how many keys' nodes are remembered. One that is forgotten costs a redirect.
	maxMoved = 10_000
	// maxNodes is how many nodes of a cluster are known.
	maxNodes = 1000
)

// nodes are the servers: those that were set or that Sentinels name, and, in a cluster, those that these redirect to.
type nodes struct {
	config    Config
	options   wire.Options
	set       *wire.Pool
	sentinels *wire.Pool // nil where there are none

	mu    sync.Mutex
	pools map[string]*wire.Pool // of a cluster's nodes, by address
	moved map[string]string     // key to the address of its node
}

func newNodes(c Config) (*nodes, error) {
	source, err := c.tls()
	if err != nil {
		return nil, err
	}
	n := &nodes{config: c, pools: make(map[string]*wire.Pool), moved: make(map[string]string)}
	n.options = wire.Options{TLS: source, Timeout: c.Timeout, Hello: n.config.login}
	set := n.options
	set.Addresses = c.addresses()
	if c.SentinelMaster != "" {
		asked := wire.Options{Addresses: set.Addresses, TLS: source, Timeout: c.Timeout}
		asked.Hello = func(conn *wire.Conn) error { return auth(conn, c.SentinelUser, c.SentinelPassword.Reveal()) }
		n.sentinels = wire.NewPool(asked)
		set.Resolve = n.master
	}
	n.set = wire.NewPool(set)
	return n, nil
}

// master asks a Sentinel where the master is.
func (n *nodes) master(ctx context.Context) ([]string, error) {
	c, err := n.sentinels.Get(ctx)
	if err != nil {
		return nil, fmt.Errorf("sentinel: %w", err)
	}
	_, found, err := do(c, "SENTINEL", "get-master-addr-by-name", n.config.SentinelMaster)
	if err == nil && len(found) != 2 {
		err = fmt.Errorf("it knows no master %q", n.config.SentinelMaster)
	}
	if err != nil {
		n.sentinels.Drop(c)
		return nil, fmt.Errorf("sentinel: %w", c.Fail(err))
	}
	n.sentinels.Put(c)
	return []string{net.JoinHostPort(found[0], found[1])}, nil
}

// of returns the pool for key, and its address; empty for those that were set.
func (n *nodes) of(key string) (pool *wire.Pool, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address = n.moved[key]; address == "" {
		return n.set, ""
	}
	return n.at(address), address
}

// at returns the pool of a cluster's node. The mutex must be held.
func (n *nodes) at(address string) *wire.Pool {
	p := n.pools[address]
	if p == nil {
		if len(n.pools) >= maxNodes { // of a cluster that changes all the time
			for _, old := range n.pools {
				_ = old.Close()
			}
			clear(n.pools)
		}
		o := n.options
		o.Addresses = []string{address}
		p = wire.NewPool(o)
		n.pools[address] = p
	}
	return p
}

// move notes where a node says that key is, in an error of MOVED or ASK: its slot and an address. An address without a host
// is at the host of who says so.
func (n *nodes) move(key, from string, f *failure) (address string, err error) {
	words := strings.Fields(f.text)
	if len(words) != 3 {
		return "", errReply
	}
	host, port, err := net.SplitHostPort(words[2])
	if err != nil {
		return "", errReply
	}
	if host == "" {
		if host, _, err = net.SplitHostPort(from); err != nil {
			return "", errReply
		}
	}
	address = net.JoinHostPort(host, port)
	if f.kind() == "MOVED" {
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.moved) >= maxMoved {
			clear(n.moved)
		}
		n.moved[key] = address
	}
	return address, nil
}

// forget has the keys of a node that can't be reached looked for again, where its cluster has them moved.
func (n *nodes) forget(address string) {
	if address == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, at := range n.moved {
		if at == address {
			delete(n.moved, key)
		}
	}
}

// Close closes the connections.
func (n *nodes) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	errs := []error{n.set.Close()}
	if n.sentinels != nil {
		errs = append(errs, n.sentinels.Close())
	}
	for _, p := range n.pools {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
