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

// renewSocket is how long a socket is used. Then the server's name is resolved again; no error would show that it moved.
const renewSocket = time.Minute

// Datagrams sends messages over UDP.
type Datagrams struct {
	address string // host:port

	mu   sync.Mutex // held while messages are sent
	conn net.Conn   // nil if there is none
	born time.Time
}

// NewDatagrams returns a sender to address. It sends nothing yet.
func NewDatagrams(address string) *Datagrams { return &Datagrams{address: address} }

// Send calls write for each of n messages; write must write message i to w, one call for each datagram. Calls of write never
// overlap, even between calls of Send. Send returns when the local kernel has the datagrams. That no process listens shows
// only in a later write, so if write fails for message i, Send counts the message before it as unsent too.
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

// Check resolves the server's name and returns its address in a sentence.
func (d *Datagrams) Check(ctx context.Context) (saw string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.dial(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %s; over UDP nobody tells whether it listens", d.address, d.conn.RemoteAddr()), nil
}

// Close closes the socket. A later Send opens another one.
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
