// SPDX-License-Identifier: Apache-2.0

package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

var errPlain = errors.New("SYSLOG_CA, SYSLOG_CERT, SYSLOG_KEY or SYSLOG_SSL_VERIFY is set, but SYSLOG_PROTOCOL is neither tls nor relp+tls")

// renewUDP is how long a socket is used. The server's name is resolved again then; no error would tell that it moved.
const renewUDP = time.Minute

// udp sends each message as a datagram (RFC 5426).
type udp struct {
	address string
	max     int

	mu   sync.Mutex
	conn net.Conn
	born time.Time
}

// send returns when our kernel has the datagrams. That nobody listens is learnt from the answer to an earlier datagram, so
// that the records from the one before on are sent again.
func (u *udp) send(ctx context.Context, w *work, records []record.Record) (delivered int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn == nil || time.Since(u.born) > renewUDP {
		if err := u.dial(ctx); err != nil {
			return 0, err
		}
	}
	for i := range records {
		if i%1024 == 0 && ctx.Err() != nil {
			return i, ctx.Err()
		}
		if _, err := u.conn.Write(w.encode(&records[i], u.max)); err != nil {
			_ = u.conn.Close()
			u.conn = nil
			return max(0, i-1), fmt.Errorf("%s: %w", u.address, err)
		}
	}
	return len(records), nil
}

func (u *udp) dial(ctx context.Context) error {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, "udp", u.address)
	if err != nil {
		return fmt.Errorf("%s: %w", u.address, err)
	}
	if u.conn != nil {
		_ = u.conn.Close()
	}
	u.conn, u.born = c, time.Now()
	return nil
}

func (u *udp) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn == nil {
		return nil
	}
	return u.conn.Close()
}

func (u *udp) check(ctx context.Context) (saw string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.dial(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %s; over UDP nobody tells whether it listens", u.address, u.conn.RemoteAddr()), nil
}
