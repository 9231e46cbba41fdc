// SPDX-License-Identifier: Apache-2.0

package graylog

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

// Output sends GELF.
type Output struct {
	transport transport
	isolation web.Isolation
	encoders  sync.Pool // of *encoder
}

// transport sends records as messages.
type transport interface {
	send(ctx context.Context, e *encoder, records []record.Record) error
	check(ctx context.Context) (saw string, err error)
	Close() error
}

// Open returns the output. It sends nothing to the server.
func Open(c Config) (*Output, error) {
	o := &Output{isolation: web.Isolation{Destination: web.AppendSource}}
	most := c.MaxSize
	switch c.Protocol {
	case "udp":
		u := &udp{Datagrams: wire.NewDatagrams(c.address()), chunk: c.ChunkSize - chunkHeader, gzip: c.Compression == "gzip"}
		most = min(most, maxChunks*u.chunk)
		o.transport = u
	case "http", "https":
		client, u, err := c.client()
		if err != nil {
			return nil, err
		}
		o.transport = &post{client: client, url: u, bulk: c.Bulk}
	default:
		var source *secure.Source
		if c.Protocol == "tls" {
			var err error
			if source, err = c.Open("GRAYLOG_"); err != nil {
				return nil, err
			}
		}
		o.transport = &stream{wire.NewOneway(wire.Options{Addresses: []string{c.address()}, TLS: source, Timeout: c.Timeout}, c.Resend)}
	}
	o.encoders.New = func() any { return newEncoder(most) }
	return o, nil
}

// Write sends b and returns when the server has it, as far as the protocol shows.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, func(ctx context.Context, b *record.Batch) error {
		e := o.encoders.Get().(*encoder)
		defer o.encoders.Put(e)
		return o.transport.send(ctx, e, b.Records)
	})
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return web.AppendSource(dst, r)
}

// Close closes the connections.
func (o *Output) Close() error { return o.transport.Close() }

// rest returns the verdict if only the first n of records were taken.
func rest(n int, records []record.Record, cause error) error {
	if n == 0 {
		return cause
	}
	p := &output.Partial{Cause: cause}
	for i := n; i < len(records); i++ {
		p.Retry = append(p.Retry, i)
	}
	return p
}

// stream sends messages over TCP, each ended by a NUL.
type stream struct{ oneway *wire.Oneway }

// buffered is the approximate number of bytes sent at a time.
const buffered = 256 << 10

func (s *stream) send(ctx context.Context, e *encoder, records []record.Record) error {
	sent := 0
	buffer := e.buffer[:0]
	defer func() { e.buffer = buffer[:0] }()
	for i := range records {
		buffer = append(e.append(buffer, &records[i]), 0)
		if len(buffer) >= buffered || i == len(records)-1 {
			if err := s.oneway.Send(ctx, buffer); err != nil {
				return rest(sent, records, err)
			}
			sent, buffer = i+1, buffer[:0]
		}
	}
	return nil
}

func (s *stream) Close() error { return s.oneway.Close() }

// post sends messages over HTTP.
type post struct {
	client *web.Client
	url    *url.URL
	bulk   bool
}

// bulkSize is the approximate size of a bulk request.
const bulkSize = 1 << 20

func (p *post) send(ctx context.Context, e *encoder, records []record.Record) error {
	for at := 0; at < len(records); {
		end, err := p.request(ctx, e, records, at)
		if err != nil {
			return rest(at, records, err)
		}
		at = end
	}
	return nil
}

// request sends records from at on, and returns the index of the next one.
func (p *post) request(ctx context.Context, e *encoder, records []record.Record, at int) (int, error) {
	buffer := p.client.Buffer()
	defer p.client.Release(buffer)
	for size := 0; at < len(records) && (size == 0 || p.bulk && size < bulkSize); at++ {
		if size > 0 {
			buffer.Bytes = append(buffer.Bytes, '\n')
		}
		before := len(buffer.Bytes)
		buffer.Bytes = e.append(buffer.Bytes, &records[at])
		size += len(buffer.Bytes) - before
		buffer.Pack()
	}
	answer, end, err := p.client.Post(ctx, p.url, "application/json", buffer)
	defer end()
	if err != nil {
		return at, err
	}
	if answer.Status >= 200 && answer.Status < 300 {
		answer.Discard()
		return at, nil
	}
	return at, answer.Verdict()
}

func (p *post) Close() error { return p.client.Close() }

// Check connects. Over HTTP it sends a GET request to the input, which stores nothing.
func (o *Output) Check(ctx context.Context) (saw string, err error) { return o.transport.check(ctx) }

func (s *stream) check(ctx context.Context) (saw string, err error) { return s.oneway.Check(ctx) }

func (p *post) check(ctx context.Context) (saw string, err error) {
	status, err := p.client.Probe(ctx, p.url)
	if err == nil && status == http.StatusNotFound {
		err = fmt.Errorf("%s answers with 404: there is no input at the path %s", p.url.Host, p.url.Path)
	}
	return fmt.Sprintf("%s answers GET with %d", p.url.Host, status), err
}
