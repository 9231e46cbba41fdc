// SPDX-License-Identifier: Apache-2.0

// Package wire keeps connections to servers that speak their own protocols over TCP. It holds what these have in common: names
// are resolved for each connection, connections are renewed, one that died while idle is replaced silently, and no exchange
// outlasts its timeout or its context.
package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/output/internal/secure"
)

// RenewAfter is how long a connection is used. Then names are resolved again, and new nodes behind a balancer get their share.
const RenewAfter = 5 * time.Minute

// Options says how connections are made.
type Options struct {
	// Addresses are host:port of interchangeable servers. Connections are spread over them.
	Addresses []string
	// Resolve, if not nil, finds the addresses for each new connection.
	Resolve func(ctx context.Context) ([]string, error)
	// InOrder uses the first address that can be connected to, instead of taking turns.
	InOrder bool
	// TLS secures the connections; nil leaves them plain.
	TLS *secure.Source
	// Timeout bounds connecting, the greeting, and by default an exchange.
	Timeout time.Duration
	// Renew is how long a connection is used; 0 means RenewAfter.
	Renew time.Duration
	// Hello, if not nil, greets the server on each new connection.
	Hello func(c *Conn) error

	watched bool            // a goroutine reads from each connection all the time, so reading has no timeout
	retire  func(state any) // called for a connection that is closed for its age
}

// Pool keeps idle connections. It is safe for concurrent use.
type Pool struct {
	options Options
	next    atomic.Uint32

	mu     sync.Mutex
	idle   []*Conn
	closed bool
}

// NewPool returns a pool. It opens no connection yet.
func NewPool(o Options) *Pool {
	if o.Renew == 0 {
		o.Renew = RenewAfter
	}
	return &Pool{options: o}
}

// Conn is a connection, used by one goroutine at a time.
type Conn struct {
	net.Conn
	In      *bufio.Reader
	Address string

	pool  *Pool
	born  time.Time
	rests time.Time // the time since which it is idle
	stop  func() bool
	// State belongs to the protocol.
	State any
}

// checkAfter is the idle time from which a connection is checked before it is used again.
const checkAfter = 100 * time.Millisecond

// Get returns a connection for one exchange, which must end within the pool's timeout and before ctx ends. The caller returns
// it with Put or Drop.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	now := time.Now()
	for {
		c := p.take()
		if c == nil {
			break
		}
		if now.Sub(c.born) >= p.options.Renew {
			p.retire(c)
			continue
		}
		if !c.alive(now) {
			_ = c.Close()
			continue
		}
		c.begin(ctx, p.options.Timeout)
		return c, nil
	}
	return p.dial(ctx)
}

func (p *Pool) retire(c *Conn) {
	if p.options.retire != nil {
		p.options.retire(c.State)
	}
	_ = c.Close()
}

func (p *Pool) take() *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	c := p.idle[n]
	p.idle = p.idle[:n]
	return c
}

// Put returns a connection that can serve another exchange.
func (p *Pool) Put(c *Conn) {
	if !c.stop() { // the context ended, and its function may still disturb the connection
		_ = c.Close()
		return
	}
	c.rests = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

// Drop closes a connection in an unknown state.
func (p *Pool) Drop(c *Conn) {
	c.stop()
	_ = c.Close()
}

// Close closes the idle connections, and those in use when they are given back.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		p.retire(c)
	}
	p.idle = nil
	return nil
}

// dial connects to the next address that can be connected to.
func (p *Pool) dial(ctx context.Context) (*Conn, error) {
	addresses := p.options.Addresses
	if p.options.Resolve != nil {
		var err error
		if addresses, err = p.options.Resolve(ctx); err != nil {
			return nil, err
		}
	}
	var errs []error
	first := 0
	if !p.options.InOrder {
		first = int(p.next.Add(1) - 1)
	}
	for i := range addresses {
		address := addresses[(first+i)%len(addresses)]
		c, err := p.dialOne(ctx, address)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (p *Pool) dialOne(ctx context.Context, address string) (*Conn, error) {
	c, err := p.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	c.In = bufio.NewReaderSize(c.Conn, 4<<10)
	c.begin(ctx, p.options.Timeout)
	if p.options.Hello != nil {
		if err := p.options.Hello(c); err != nil {
			p.Drop(c)
			return nil, c.explain(err)
		}
		c.extend(p.options.Timeout)
	}
	return c, nil
}

func (p *Pool) connect(ctx context.Context, address string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, min(p.options.Timeout, 10*time.Second))
	defer cancel()
	c := &Conn{Address: address, pool: p, born: time.Now()}
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	d := &net.Dialer{KeepAlive: 15 * time.Second, Control: p.control}
	raw, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := p.options.TLS.Config()
	if config == nil {
		c.Conn = raw
		return c, nil
	}
	config = config.Clone()
	config.ServerName, _, _ = net.SplitHostPort(address)
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	c.Conn = secured
	return c, nil
}

// control bounds how long sent data may stay unacknowledged to the time of an exchange. Otherwise a peer that vanished would
// be noticed after a quarter of an hour.
func (p *Pool) control(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(p.options.Timeout.Milliseconds()))
	})
}

// begin starts an exchange.
func (c *Conn) begin(ctx context.Context, timeout time.Duration) {
	c.extend(timeout)
	c.stop = context.AfterFunc(ctx, func() { c.setDeadline(time.Unix(1, 0)) })
}

// Extend restarts the exchange's timeout.
func (c *Conn) Extend() { c.extend(c.pool.options.Timeout) }

func (c *Conn) extend(timeout time.Duration) { c.setDeadline(time.Now().Add(timeout)) }

func (c *Conn) setDeadline(at time.Time) {
	if c.pool.options.watched {
		_ = c.SetWriteDeadline(at)
	} else {
		_ = c.SetDeadline(at)
	}
}

// alive reports whether an idle connection can be used: the peer has neither closed it nor sent anything.
func (c *Conn) alive(now time.Time) bool {
	if now.Sub(c.rests) < checkAfter || c.pool.options.watched {
		return true
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.In.Peek(1)
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// explain adds to the error of an exchange that it timed out.
func (c *Conn) explain(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no answer within %v: %w", c.pool.options.Timeout, err)
	}
	return err
}

// Fail returns err, of an exchange on c, with the server's address.
func (c *Conn) Fail(err error) error { return fmt.Errorf("%s: %w", c.Address, c.explain(err)) }
