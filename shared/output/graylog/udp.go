// SPDX-License-Identifier: Apache-2.0

package graylog

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/remora-logs/remora/shared/record"
)

// renewUDP is how long a socket is used. The server's name is resolved again then; no error would tell that it moved.
const renewUDP = time.Minute

// udp sends each message as a datagram, or as chunks of one: a magic number, a random id, the chunk's number and how many
// there are, in front of each (GELF, "Chunking").
type udp struct {
	address string
	chunk   int // bytes of a message in a datagram
	gzip    bool

	mu       sync.Mutex
	conn     net.Conn
	born     time.Time
	message  []byte
	packed   sink
	zip      *gzip.Writer
	datagram []byte
}

// sink appends what is written.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// send returns when our kernel has the datagrams. That nobody listens is learnt from the answer to an earlier datagram, so
// that the records from the one before on are sent again.
func (u *udp) send(ctx context.Context, e *encoder, records []record.Record) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn == nil || time.Since(u.born) > renewUDP {
		if err := u.dial(ctx); err != nil {
			return err
		}
	}
	for i := range records {
		if i%1024 == 0 && ctx.Err() != nil {
			return rest(i, records, ctx.Err())
		}
		u.message = e.append(u.message[:0], &records[i])
		if err := u.write(u.pack()); err != nil {
			_ = u.conn.Close()
			u.conn = nil
			return rest(max(0, i-1), records, fmt.Errorf("%s: %w", u.address, err))
		}
	}
	return nil
}

// pack compresses the message, if that makes it smaller.
func (u *udp) pack() []byte {
	if !u.gzip {
		return u.message
	}
	u.packed = u.packed[:0]
	if u.zip == nil {
		u.zip, _ = gzip.NewWriterLevel(&u.packed, gzip.BestSpeed)
	} else {
		u.zip.Reset(&u.packed)
	}
	if _, err := u.zip.Write(u.message); err != nil || u.zip.Close() != nil || len(u.packed) >= len(u.message) {
		return u.message
	}
	return u.packed
}

func (u *udp) write(message []byte) error {
	if len(message) <= u.chunk {
		_, err := u.conn.Write(message)
		return err
	}
	id := rand.Uint64() // of this try: chunks of two tries must not be mixed
	total := (len(message) + u.chunk - 1) / u.chunk
	for n := range total {
		u.datagram = append(u.datagram[:0], 0x1e, 0x0f)
		u.datagram = binary.BigEndian.AppendUint64(u.datagram, id)
		u.datagram = append(u.datagram, byte(n), byte(total))
		u.datagram = append(u.datagram, message[n*u.chunk:min((n+1)*u.chunk, len(message))]...)
		if _, err := u.conn.Write(u.datagram); err != nil {
			return err
		}
	}
	return nil
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
