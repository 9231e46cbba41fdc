// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
)

// connections bounds the connections of a listener to maxConns. A new one beyond the bound closes another, so that a client
// that opens many cannot block others, such as the probes of a kubelet. The client address with the most connections loses the
// one whose state has not changed for longest. A connection with a request of an authenticated client, such as a live tail,
// is closed only if there are no others.
type connections struct {
	mu    sync.Mutex
	all   map[net.Conn]*connection
	clock uint64 // counts changes of state
}

// connection is the state of one connection.
type connection struct {
	from    netip.Prefix
	changed uint64 // the clock's value at the last change of state
	proven  bool   // the client of the request in progress is authenticated
}

func newConnections() *connections { return &connections{all: map[net.Conn]*connection{}} }

// note is an http.Server's ConnState.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.all, conn)
		return
	}
	known := c.all[conn]
	if known == nil {
		if state != http.StateNew {
			return // closeOne has closed it, which its own goroutine does not know yet
		}
		known = &connection{from: origin(conn)}
		c.all[conn] = known
	}
	c.clock++
	known.changed, known.proven = c.clock, false
	if len(c.all) > maxConns {
		c.closeOne(conn)
	}
}

// closeOne closes a connection other than fresh. The caller holds c.mu.
func (c *connections) closeOne(fresh net.Conn) {
	perOrigin := map[netip.Prefix]int{}
	for _, of := range c.all {
		perOrigin[of.from]++
	}
	before := func(a, b *connection) bool {
		switch {
		case a.proven != b.proven:
			return b.proven
		case perOrigin[a.from] != perOrigin[b.from]:
			return perOrigin[a.from] > perOrigin[b.from]
		}
		return a.changed < b.changed
	}
	var victim net.Conn
	for conn, of := range c.all {
		if conn != fresh && (victim == nil || before(of, c.all[victim])) {
			victim = conn
		}
	}
	delete(c.all, victim)
	if t, ok := victim.(*tls.Conn); ok {
		victim = t.NetConn() // tls.Conn.Close waits up to 5 s for a client that does not read
	}
	_ = victim.Close()
}

// origin returns the address that a connection comes from. For IPv6 it returns the /64 network, since one client may have all
// its addresses.
func origin(conn net.Conn) netip.Prefix {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{} // not a TCP connection
	}
	address := from.Addr().Unmap()
	prefix, _ := address.Prefix(min(address.BitLen(), 64)) // never longer than the address
	return prefix
}

// inContext adds to ctx the function that proved calls. It is an http.Server's ConnContext.
func (c *connections) inContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, inWork{}, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if known := c.all[conn]; known != nil {
			known.proven = true
		}
	})
}

// inWork is the context key of a function that marks the connection of a request as that of an authenticated client.
type inWork struct{}

// proved records that the client of the request with ctx may see everything.
func proved(ctx context.Context) {
	if note, ok := ctx.Value(inWork{}).(func()); ok {
		note()
	}
}

// tls returns the TLS configuration of the listener, or nil if no certificate is configured. The files are read for each
// connection, because certificates are renewed while Remora runs.
func (a *Access) tls() (*tls.Config, error) {
	if a.Cert == "" {
		return nil, nil
	}
	load := func() (*tls.Config, error) {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("REMORA_LISTEN_CERT, REMORA_LISTEN_KEY: %w", err)
		}
		c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
		if a.ClientCA == "" {
			return c, nil
		}
		content, err := os.ReadFile(a.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("REMORA_LISTEN_CLIENT_CA: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("REMORA_LISTEN_CLIENT_CA: %s holds no certificate in PEM", a.ClientCA)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven // probes and scrapes have none
		return c, nil
	}
	first, err := load()
	if err != nil {
		return nil, err
	}
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return load() }
	return first, nil
}
