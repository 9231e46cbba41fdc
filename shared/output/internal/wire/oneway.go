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

// Oneway sends bytes over TCP by a protocol without acknowledgements. A write only means that the local kernel has the bytes.
// So Send waits until the peer's kernel has them, and does not use a connection that the peer has closed. Bytes that were
// written within a window of time before a connection broke are sent again on the next one, because the peer's process may not
// have read them. It is safe for concurrent use.
type Oneway struct {
	pool   *Pool
	window time.Duration

	ctx    context.Context // of resend
	cancel context.CancelFunc

	mu        sync.Mutex
	orphans   [][]byte // written shortly before their connections broke
	held      int      // bytes of orphans
	resending bool
}

// maxRecent bounds the bytes kept for the window, of one connection and of all broken ones.
const maxRecent = 1 << 20

// NewOneway returns a Oneway whose window is resend; 0 disables resending.
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

// watch reads from a new connection as long as it lives, so that its end is noticed.
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

// rescue keeps what was written to a broken connection within the window, for the next connection.
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

// resendEvery is how often resend tries to send orphans.
const resendEvery = time.Second

// resend sends orphans until there are none, in case no Send does.
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

// Send sends p after any orphans. It returns when the peer's kernel has acknowledged it.
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

// sendOrphans sends what broken connections left.
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

// errBroken is the error of a connection that ended while it was written to.
var errBroken = errors.New("the server closed the connection")

// write writes p and returns when the peer's kernel has acknowledged all of it.
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

// Flush waits until the peer's kernel has all that was written, which is the most that can be known if a protocol has no
// acknowledgements.
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

// unacknowledged returns the number of bytes that the peer's kernel has not acknowledged.
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

// forget discards what would be sent again: we close the connection, and the peer reads what it has.
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
