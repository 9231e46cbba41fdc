// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Oneway sends bytes over TCP by a protocol that has no acknowledgements. A write alone says no more than that our kernel
// has the bytes. So it is done when the peer's kernel has them; a connection that the peer closed is not written to; and
// what was written within a window of time before a connection broke is sent again on the next one, because the peer's
// process may not have read it. It is safe for concurrent use.
type Oneway struct {
	pool   *Pool
	window time.Duration

	ctx    context.Context // of resending while nothing else is sent
	cancel context.CancelFunc

	mu        sync.Mutex
	orphans   [][]byte // written shortly before their connections broke
	held      int      // bytes of orphans
	resending bool
}

// maxRecent bounds what is kept for the window: of a connection, and of those that broke.
const maxRecent = 1 << 20

// NewOneway makes a Oneway whose window is resend; 0 sends nothing again.
func NewOneway(o Options, resend time.Duration) *Oneway {
	w := &Oneway{window: resend}
	o.Hello, o.watched = w.watch, true
	o.retire = func(state any) { state.(*recent).forget() }
	w.pool = NewPool(o)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// recent is the State of a connection: what was written to it within the window, oldest first.
type recent struct {
	broken atomic.Bool

	mu   sync.Mutex
	sent []payload
	size int
}

type payload struct {
	at    time.Time
	bytes []byte
}

// watch reads from a new connection for as long as it lives, which is how its end is noticed.
func (w *Oneway) watch(c *Conn) error {
	r := new(recent)
	c.State = r
	go func() {
		_, _ = io.Copy(io.Discard, c.Conn)
		r.broken.Store(true)
		w.rescue(r)
	}()
	return nil
}

// rescue keeps what was written to a broken connection within the window for the next one.
func (w *Oneway) rescue(r *recent) {
	r.mu.Lock()
	sent := r.sent
	r.sent = nil
	r.mu.Unlock()
	if w.window == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range sent {
		if time.Since(p.at) <= w.window {
			w.orphans = append(w.orphans, p.bytes)
			w.held += len(p.bytes)
		}
	}
	for w.held > maxRecent {
		w.held -= len(w.orphans[0])
		w.orphans = w.orphans[1:]
	}
	if len(w.orphans) > 0 && !w.resending {
		w.resending = true
		go w.resend()
	}
}

// resendEvery is how often what has to be sent again is tried to be, while nothing else is sent.
const resendEvery = time.Second

// resend sends orphans until there are none, in case nothing else is sent that they could go before.
func (w *Oneway) resend() {
	tick := time.NewTicker(resendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			return
		}
		w.mu.Lock()
		if len(w.orphans) == 0 {
			w.resending = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		_ = w.Send(w.ctx, nil)
	}
}

// Send sends p, and before it what has to be sent again. It returns when the peer's kernel has it.
func (w *Oneway) Send(ctx context.Context, p []byte) error {
	c, err := w.get(ctx)
	if err != nil {
		return err
	}
	if err = w.sendOrphans(ctx, c); err == nil {
		err = w.write(ctx, c, p)
	}
	if err != nil {
		w.pool.Drop(c)
		return c.Fail(err)
	}
	c.State.(*recent).note(p, w.window)
	w.pool.Put(c)
	return nil
}

// get returns a connection that is not known to be broken.
func (w *Oneway) get(ctx context.Context) (*Conn, error) {
	for {
		c, err := w.pool.Get(ctx)
		if err != nil || !c.State.(*recent).broken.Load() {
			return c, err
		}
		w.pool.Drop(c)
	}
}

// sendOrphans sends what is left of connections that broke.
func (w *Oneway) sendOrphans(ctx context.Context, c *Conn) error {
	w.mu.Lock()
	orphans := w.orphans
	w.orphans, w.held = nil, 0
	w.mu.Unlock()
	for i, p := range orphans {
		if err := w.write(ctx, c, p); err != nil {
			w.mu.Lock()
			for _, left := range orphans[i:] {
				w.orphans = append(w.orphans, left)
				w.held += len(left)
			}
			w.mu.Unlock()
			return err
		}
	}
	return nil
}

// errBroken is a connection that ended while it was written to.
var errBroken = errors.New("the server closed the connection")

// write returns when the peer's kernel has acknowledged all bytes.
func (w *Oneway) write(ctx context.Context, c *Conn, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	c.Extend()
	if _, err := c.Write(p); err != nil {
		return err
	}
	return acknowledged(ctx, c.Conn, w.pool.options.Timeout, c.State.(*recent).broken.Load)
}

// Flush waits until the peer's kernel has all that was written: where a protocol has no acknowledgements, that is the most
// that can be known.
func (c *Conn) Flush(ctx context.Context) error {
	return acknowledged(ctx, c.Conn, c.pool.options.Timeout, func() bool { return false })
}

func acknowledged(ctx context.Context, c net.Conn, timeout time.Duration, broken func() bool) error {
	pause := 200 * time.Microsecond
	for deadline := time.Now().Add(timeout); ; pause = min(2*pause, 20*time.Millisecond) {
		left, ok := unacknowledged(c)
		if broken() {
			return errBroken
		}
		if !ok || left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the server's kernel does not acknowledge what was written")
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unacknowledged returns how many bytes the peer's kernel has not acknowledged.
func unacknowledged(c net.Conn) (n int, ok bool) {
	if t, secured := c.(*tls.Conn); secured {
		c = t.NetConn()
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, false
	}
	var failed error
	err = raw.Control(func(fd uintptr) { n, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n, err == nil && failed == nil
}

// note keeps a copy of p for the window.
func (r *recent) note(p []byte, window time.Duration) {
	if window == 0 || len(p) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for len(r.sent) > 0 && (now.Sub(r.sent[0].at) > window || r.size+len(p) > maxRecent) {
		r.size -= len(r.sent[0].bytes)
		r.sent = r.sent[1:]
	}
	if r.size+len(p) <= maxRecent {
		r.sent = append(r.sent, payload{now, append([]byte(nil), p...)})
		r.size += len(p)
	}
}

// forget has nothing sent again: the connection is closed by us, and the peer reads what it has.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent, r.size = nil, 0
}

// Close closes the connections.
func (w *Oneway) Close() error {
	w.cancel()
	return w.pool.Close()
}
