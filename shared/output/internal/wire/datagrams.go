// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// renewSocket is how long a socket is used. The server's name is resolved again then; no error would tell that it moved.
const renewSocket = time.Minute

// Datagrams sends messages over UDP.
type Datagrams struct {
	address string // host:port

	mu   sync.Mutex // held while messages are sent
	conn net.Conn   // nil if there is none
	born time.Time
}

// NewDatagrams makes one. It asks nothing of the server.
func NewDatagrams(address string) *Datagrams { return &Datagrams{address: address} }

// Send calls write for each of n messages; it must write message i to w, a datagram a call. Calls of write never overlap,
// also not with those of another Send. Send returns when our kernel has the datagrams. That nobody listens is learnt from
// the answer to an earlier datagram, so that with an error sent ends before the message before the one that failed.
func (d *Datagrams) Send(ctx context.Context, n int, write func(w io.Writer, i int) error) (sent int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil || time.Since(d.born) > renewSocket {
		if err := d.dial(ctx); err != nil {
			return 0, err
		}
	}
	for i := range n {
		if i%1024 == 0 && ctx.Err() != nil {
			return i, ctx.Err()
		}
		if err := write(d.conn, i); err != nil {
			_ = d.conn.Close()
			d.conn = nil
			return max(0, i-1), fmt.Errorf("%s: %w", d.address, err)
		}
	}
	return n, nil
}

func (d *Datagrams) dial(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	c, err := dialer.DialContext(ctx, "udp", d.address)
	if err != nil {
		return fmt.Errorf("%s: %w", d.address, err)
	}
	if d.conn != nil {
		_ = d.conn.Close()
	}
	d.conn, d.born = c, time.Now()
	return nil
}

// Check resolves the server's name, and says what it saw.
func (d *Datagrams) Check(ctx context.Context) (saw string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.dial(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %s; over UDP nobody tells whether it listens", d.address, d.conn.RemoteAddr()), nil
}

// Close closes the socket. Send opens another one.
func (d *Datagrams) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		return nil
	}
	err := d.conn.Close()
	d.conn = nil
	return err
}
