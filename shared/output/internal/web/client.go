// SPDX-License-Identifier: Apache-2.0

// Package web is what outputs that speak HTTP have in common: one request from memory, connections that are kept, several
// hosts of which some may be down, compression, and what an HTTP status means for a batch.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options is how a Client sends.
type Options struct {
	TLS *tls.Config
	// Header goes with each request: credentials, and what the user adds.
	Header http.Header
	// Codec is how bodies are compressed.
	Codec Codec
	// GRPC frames bodies as gRPC's messages and speaks HTTP/2.
	GRPC bool
	// Timeout is how long an exchange may take as a whole.
	Timeout time.Duration
}

// Client posts bodies. It is safe for concurrent use.
type Client struct {
	options   Options
	transport *http.Transport
	buffers   sync.Pool // of *Buffer
}

// Response is an answer.
type Response struct {
	Status int
	Header http.Header
	// Body is to be read by the caller, and closed. Of a body that is read to its end the connection is used again.
	Body    io.ReadCloser
	from    string // the host, for errors
	trailer *http.Header
}

// Trailer is what came after the body, which must have been read, or in front where there was none.
func (r *Response) Trailer(name string) string {
	if v := r.trailer.Get(name); v != "" {
		return v
	}
	return r.Header.Get(name)
}

// NewClient makes a client. It connects to nothing yet.
func NewClient(o Options) *Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!o.GRPC)
	protocols.SetHTTP2(o.GRPC)
	protocols.SetUnencryptedHTTP2(o.GRPC)
	return &Client{
		options: o,
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, &unsentError{err}
				}
				return &conn{Conn: c}, nil
			},
			TLSClientConfig:     o.TLS,
			TLSHandshakeTimeout: 10 * time.Second,
			WriteBufferSize:     64 << 10,
			ReadBufferSize:      16 << 10,
			MaxIdleConnsPerHost: 64, // as many as there can be workers
			// Shorter than what servers and the proxies before them wait, so that it is us who close.
			IdleConnTimeout:       30 * time.Second,
			ResponseHeaderTimeout: 0, // the exchange has a time-out as a whole
			DisableCompression:    true,
			Protocols:             protocols,
		},
		buffers: sync.Pool{New: func() any { return &Buffer{codec: o.Codec} }},
	}
}

// unsentError is a connection that was not made, so that nothing can have been taken.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// Unsent reports whether err means that the host can't have taken anything.
func Unsent(err error) bool {
	var e *unsentError
	return errors.As(err, &e)
}

// Buffer returns memory to write a body into. It goes back with Release.
func (c *Client) Buffer() *Buffer {
	b := c.buffers.Get().(*Buffer)
	b.Bytes, b.packing, b.err = b.Bytes[:0], false, nil
	return b
}

// Release gives b back, unless the connection may still be reading it: after a request that was given up, or an answer
// that came before the body was sent.
func (c *Client) Release(b *Buffer) {
	if b.readers.Load() == 0 {
		c.buffers.Put(b)
	}
}

// Post sends b to u and returns the answer, whatever its status. end, which is never nil, must be called when the answer
// was read.
func (c *Client) Post(ctx context.Context, u *url.URL, contentType string, b *Buffer) (r *Response, end func(), err error) {
	ctx, end = context.WithTimeout(ctx, c.options.Timeout)
	payload, err := b.payload(c.options)
	if err != nil {
		return nil, end, err
	}
	request := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: c.options.Header.Clone(),
		ContentLength: int64(len(payload)),
		Body:          b.body(payload),
		GetBody:       func() (io.ReadCloser, error) { return b.body(payload), nil },
	}
	if request.Header == nil {
		request.Header = make(http.Header, 3)
	}
	request.Header.Set("Content-Type", contentType)
	if encoding := c.options.Codec.encoding(); encoding != "" {
		if c.options.GRPC {
			request.Header.Set("Grpc-Encoding", encoding)
		} else {
			request.Header.Set("Content-Encoding", encoding)
		}
	}
	if c.options.GRPC {
		request.Header.Set("Te", "trailers")
	}
	r, err = c.do(request.WithContext(ctx))
	return r, end, err
}

// Get asks for u.
func (c *Client) Get(ctx context.Context, u *url.URL) (*Response, func(), error) {
	ctx, end := context.WithTimeout(ctx, c.options.Timeout)
	request := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: c.options.Header.Clone()}
	r, err := c.do(request.WithContext(ctx))
	return r, end, err
}

func (c *Client) do(request *http.Request) (*Response, error) {
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "remora")
	}
	// The transport and not http.Client: a redirect would turn a POST into a GET, or send credentials elsewhere.
	answer, err := c.transport.RoundTrip(request)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v: %w", c.options.Timeout, err)
		}
		return nil, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	return &Response{
		Status: answer.StatusCode, Header: answer.Header, Body: answer.Body, from: request.URL.Host, trailer: &answer.Trailer,
	}, nil
}

// Close closes connections that are not in use.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// maxDrain is how much of an answer is read only so that its connection can be used again.
const maxDrain = 1 << 20

// Discard reads what is left of the answer and closes it.
func (r *Response) Discard() {
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	_ = r.Body.Close()
}

// quoted bounds how much of an answer is told in an error.
const quoted = 300

// Said is the beginning of the answer's body in one line, for errors. It discards the rest.
func (r *Response) Said() string {
	head, _ := io.ReadAll(io.LimitReader(r.Body, 4*quoted))
	r.Discard()
	return Quote(head)
}

// Quote is the beginning of p in one line, without what a terminal would not show.
func Quote(p []byte) string {
	text := strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(string(p), "?"))), " ")
	if len(text) > quoted {
		text = strings.ToValidUTF8(text[:quoted], "") + "…"
	}
	return text
}
