// SPDX-License-Identifier: Apache-2.0

package logstash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

// inFlight bounds the windows without an acknowledgement on a connection.
const inFlight = 2

// Output sends to Logstash.
type Output struct {
	config    Config
	pool      *wire.Pool
	isolation web.Isolation
	encoders  sync.Pool // of *encoder
}

// Open returns the output. It sends nothing to the servers.
func Open(c Config) (*Output, error) {
	var source *secure.Source
	if c.TLS {
		var err error
		if source, err = c.Open("LOGSTASH_"); err != nil {
			return nil, err
		}
	}
	o := &Output{
		config: c, isolation: web.Isolation{Destination: web.AppendSource},
		pool: wire.NewPool(wire.Options{
			Addresses: c.addresses(), InOrder: !c.LoadBalance, TLS: source, Timeout: c.Timeout, Renew: c.TTL,
		}),
	}
	o.encoders.New = func() any { return newEncoder(c.Index, c.Level) }
	return o, nil
}

// Workers returns LOGSTASH_WORKER.
func (o *Output) Workers() int { return o.config.Worker }

// Write sends b in windows and returns when the server has acknowledged all of them. The protocol can't refuse an event: a
// server that can't take one closes the connection. The source of such an event is found by sending sources apart.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.send)
}

func (o *Output) send(ctx context.Context, b *record.Batch) error {
	c, err := o.pool.Get(ctx)
	if err != nil {
		return err
	}
	x := &exchange{conn: c, size: o.config.BulkMaxSize, total: len(b.Records), slots: make(chan struct{}, inFlight)}
	read := make(chan error, 1)
	go func() { read <- x.readAcks() }()
	e := o.encoders.Get().(*encoder)
	wrote := x.write(e, b.Records)
	o.encoders.Put(e)
	if wrote != nil {
		_ = c.Close() // or readAcks would wait for ever
	}
	err = <-read
	if err == nil {
		o.pool.Put(c)
		return nil
	}
	o.pool.Drop(c)
	if wrote != nil && errors.Is(err, net.ErrClosed) { // closed above, because of wrote
		err = wrote
	}
	return x.verdict(c.Fail(err))
}

// exchange is a batch in flight. One goroutine writes its windows; another reads the acknowledgements, which a server may send
// while it does not read.
type exchange struct {
	conn  *wire.Conn
	size  int // of a window
	total int
	sent  atomic.Int64 // records whose window is written, or is being written
	acked int          // records, from the first on; owned by readAcks until it returns
	slots chan struct{}
	ended atomic.Bool // readAcks has failed
}

// errEnded is the error of a write after readAcks has failed.
var errEnded = errors.New("the server closed the connection")

func (x *exchange) write(e *encoder, records []record.Record) error {
	for at := 0; at < len(records); at += x.size {
		x.slots <- struct{}{}
		if x.ended.Load() {
			return errEnded
		}
		end := min(at+x.size, len(records))
		window, err := e.window(records[at:end])
		if err != nil {
			return err
		}
		x.sent.Store(int64(end))
		x.conn.Extend()
		if _, err := x.conn.Write(window); err != nil {
			return err
		}
	}
	return nil
}

// readAcks reads acknowledgements until all records are taken. Each one, even a mere keep-alive, gives the server another
// LOGSTASH_TIMEOUT.
func (x *exchange) readAcks() (err error) {
	defer func() {
		if err != nil {
			x.ended.Store(true)
			_ = x.conn.Close() // the writer may be blocked in it
			for range inFlight {
				select {
				case <-x.slots:
				default:
				}
			}
		}
	}()
	for first := 0; first < x.total; {
		end := min(first+x.size, x.total)
		var frame [6]byte
		if _, err := io.ReadFull(x.conn.In, frame[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(frame[2:]))
		if frame[0] != version || frame[1] != ack || n > end-first || int64(end) > x.sent.Load() && n > 0 {
			return fmt.Errorf("the answer is not one of lumberjack: %q", frame[:])
		}
		x.conn.Extend()
		x.acked = max(x.acked, first+n)
		if n == end-first {
			first = end
			<-x.slots
		}
	}
	return nil
}

// verdict returns the verdict of a failed exchange: acknowledged records are taken. If there are none, the content may be the
// cause.
func (x *exchange) verdict(cause error) error {
	if x.acked == 0 {
		if x.sent.Load() > 0 && (errors.Is(cause, io.EOF) || errors.Is(cause, syscall.ECONNRESET)) {
			return &web.Suspect{Cause: cause}
		}
		return cause
	}
	rest := &output.Partial{Cause: cause}
	for i := x.acked; i < x.total; i++ {
		rest.Retry = append(rest.Retry, i)
	}
	return rest
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return web.AppendSource(dst, r)
}

// Close closes the connections.
func (o *Output) Close() error { return o.pool.Close() }

// Check connects to each server. The protocol has no greeting, so no more can be checked.
func (o *Output) Check(ctx context.Context) (saw string, err error) { return o.pool.Check(ctx) }
