// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// A host that failed rests this long, twice as long after each further failure, and never longer than longestRest.
	firstRest, longestRest = time.Second, time.Minute
)

// Nodes takes turns among several hosts, and rests those that failed. elastic-transport-go's pool would bring retries, which
// are the pipeline's, and a copy of each request.
type Nodes struct {
	mu    sync.Mutex
	nodes []*Node
	next  int
}

// Node is a host.
type Node struct {
	URL      *url.URL // without credentials
	failures int
	rests    time.Time // the time until which it rests
}

// ParseNodes parses addresses, each host:port or a URL. It returns the credentials in a URL separately.
func ParseNodes(addresses []string, scheme, path string) (*Nodes, *url.Userinfo, error) {
	var (
		n    Nodes
		user *url.Userinfo
	)
	for _, address := range addresses {
		if address = strings.TrimSpace(address); address == "" {
			continue
		}
		u, err := ParseURL(address, scheme)
		if err != nil {
			return nil, nil, err
		}
		if u.User != nil {
			user, u.User = u.User, nil
		}
		u.Path = strings.TrimRight(u.Path, "/") + "/" + strings.Trim(path, "/")
		u.Path = strings.TrimRight(u.Path, "/")
		n.nodes = append(n.nodes, &Node{URL: u})
	}
	return &n, user, nil
}

// ParseURL parses an HTTP URL; scheme is the default. Its errors omit everything in the URL that may hold a password.
func ParseURL(address, scheme string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("an address can't be read as a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s is not a URL of http or https", &url.URL{Scheme: u.Scheme, Host: u.Host}) // secrets also occur in paths and queries
	}
	return u, nil
}

// Len returns the number of hosts.
func (n *Nodes) Len() int { return len(n.nodes) }

// Pick returns the next host that does not rest, or else the one whose rest ends first.
func (n *Nodes) Pick(now time.Time) *Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	best := n.nodes[n.next%len(n.nodes)]
	for i := range n.nodes {
		node := n.nodes[(n.next+i)%len(n.nodes)]
		if !node.rests.After(now) {
			best = node
			break
		}
		if node.rests.Before(best.rests) {
			best = node
		}
	}
	n.next++
	return best
}

// Failed makes node rest.
func (n *Nodes) Failed(node *Node, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rest := firstRest << min(node.failures, 10)
	node.failures++
	node.rests = now.Add(min(rest, longestRest))
}

// Worked notes that node answered.
func (n *Nodes) Worked(node *Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	node.failures, node.rests = 0, time.Time{}
}
