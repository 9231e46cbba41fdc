// SPDX-License-Identifier: Apache-2.0

package syslog

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

// Output sends syslog messages.
type Output struct {
	transport transport
	isolation web.Isolation
	works     sync.Pool // of *work
}

var errPlain = errors.New("SYSLOG_CA, SYSLOG_CERT, SYSLOG_KEY or SYSLOG_SSL_VERIFY is set, but SYSLOG_PROTOCOL is neither tls nor relp+tls")

// transport sends records as messages. send returns how many it has delivered, from the first on, and an error if not all.
type transport interface {
	send(ctx context.Context, w *work, records []record.Record) (delivered int, err error)
	check(ctx context.Context) (saw string, err error)
	Close() error
}

// work is the reusable memory of a Write.
type work struct {
	*encoder
	buffer []byte
}

// Open returns the output. It sends nothing to the server.
func Open(c Config) (*Output, error) {
	o := &Output{isolation: web.Isolation{Destination: web.AppendSource}}
	if _, err := newEncoder(&c); err != nil {
		return nil, err
	}
	o.works.New = func() any {
		e, _ := newEncoder(&c) // it can't fail: it has succeeded above
		return &work{encoder: e}
	}
	options := wire.Options{Addresses: []string{c.address()}, Timeout: c.Timeout}
	if c.Protocol == "tls" || c.Protocol == "relp+tls" {
		var err error
		if options.TLS, err = c.Open("SYSLOG_"); err != nil {
			return nil, err
		}
	} else if c.Settings != (secure.Settings{Verify: true}) {
		return nil, errPlain
	}
	switch {
	case c.Protocol == "udp":
		o.transport = &udp{Datagrams: wire.NewDatagrams(c.address()), max: c.MaxSize}
	case strings.HasPrefix(c.Protocol, "relp"):
		o.transport = newRELP(options, c.MaxSize)
	default:
		o.transport = &stream{oneway: wire.NewOneway(options, c.Resend), max: c.MaxSize, octets: c.Framing == "octets"}
	}
	return o, nil
}

// Write sends b and returns when the server has it, as far as the protocol shows.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.send)
}

func (o *Output) send(ctx context.Context, b *record.Batch) error {
	w := o.works.Get().(*work)
	defer o.works.Put(w)
	delivered, err := o.transport.send(ctx, w, b.Records)
	switch {
	case delivered == len(b.Records):
		return nil
	case delivered == 0:
		return err
	}
	rest := &output.Partial{Cause: err}
	for i := delivered; i < len(b.Records); i++ {
		rest.Retry = append(rest.Retry, i)
	}
	return rest
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return web.AppendSource(dst, r)
}

// Close closes the connections.
func (o *Output) Close() error { return o.transport.Close() }

// stream sends messages over TCP, plain or secured.
type stream struct {
	oneway *wire.Oneway
	max    int
	octets bool
}

// chunk is how many bytes are sent at a time.
const chunk = 256 << 10

func (s *stream) send(ctx context.Context, w *work, records []record.Record) (delivered int, err error) {
	w.buffer = w.buffer[:0]
	for i := range records {
		w.buffer = s.append(w.buffer, w.encoder, &records[i])
		if len(w.buffer) >= chunk || i == len(records)-1 {
			if err := s.oneway.Send(ctx, w.buffer); err != nil {
				return delivered, err
			}
			delivered, w.buffer = i+1, w.buffer[:0]
		}
	}
	return delivered, nil
}

// append appends r with its framing (RFC 6587, 3.4).
func (s *stream) append(dst []byte, e *encoder, r *record.Record) []byte {
	if !s.octets {
		return append(append(dst, e.encode(r, s.max-1)...), '\n')
	}
	message := e.encode(r, s.max-len("12345678 "))
	dst = strconv.AppendInt(dst, int64(len(message)), 10)
	return append(append(dst, ' '), message...)
}

func (s *stream) Close() error { return s.oneway.Close() }

// Check connects, and opens a session if the protocol has one.
func (o *Output) Check(ctx context.Context) (saw string, err error) { return o.transport.check(ctx) }

func (s *stream) check(ctx context.Context) (saw string, err error) { return s.oneway.Check(ctx) }
