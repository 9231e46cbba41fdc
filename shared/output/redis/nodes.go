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
	// maxMoved bounds the keys whose nodes are remembered. A forgotten one costs a redirect.
	maxMoved = 10_000
	// maxNodes bounds the known nodes of a cluster.
	maxNodes = 1000
)

// nodes are the servers: those configured or named by Sentinels and, in a cluster, those to which these redirect.
type nodes struct {
	config    Config
	options   wire.Options
	set       *wire.Pool
	sentinels *wire.Pool // nil if there are none

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

// master asks a Sentinel for the address of the master.
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

// of returns the pool for key and its address, which is empty for the configured servers.
func (n *nodes) of(key string) (pool *wire.Pool, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address = n.moved[key]; address == "" {
		return n.set, ""
	}
	return n.at(address), address
}

// at returns the pool of a cluster's node. The caller must hold mu.
func (n *nodes) at(address string) *wire.Pool {
	p := n.pools[address]
	if p == nil {
		if len(n.pools) >= maxNodes { // the cluster changes all the time
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

// move notes the node of key from an error of MOVED or ASK, which holds its slot and an address. An address without a host
// means the host that sent the error.
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

// forget drops the keys of a node that can't be reached, so that the configured servers are asked for them again.
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
