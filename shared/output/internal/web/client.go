// SPDX-License-Identifier: Apache-2.0

// Package web holds what outputs over HTTP share: requests from memory, kept connections, several hosts some of which may be
// down, compression, and what an HTTP status means for a batch.
package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/remora-logs/remora/shared/output/internal/secure"
)

// Options says how a Client sends.
type Options struct {
	// TLS is asked for its configuration before each request; nil means the system's.
	TLS *secure.Source
	// Login adds its headers to each request; nil adds none.
	Login *Login
	// Tokens supplies the bearer token of each request; nil leaves that to Login.
	Tokens *Tokens
	// Codec is the compression of bodies.
	Codec Codec
	// GRPC frames bodies as gRPC messages and uses HTTP/2.
	GRPC bool
	// Timeout bounds an exchange as a whole.
	Timeout time.Duration
	// Sign, if not nil, adds a signature to a request whose body and headers are complete.
	Sign func(r *http.Request, body []byte) error
	// Cookies keeps cookies and sends them, for balancers that route by them.
	Cookies bool
}

// Client posts bodies. It is safe for concurrent use.
type Client struct {
	options Options
	buffers *sync.Pool // of *Buffer; of all clients with the same codec

	mu        sync.Mutex
	transport *http.Transport
	tls       *tls.Config // that transport was made for
	born      time.Time   // when transport was made
	cookies   []*http.Cookie
}

// Response is an answer.
type Response struct {
	Status int
	Header http.Header
	// Body must be read and closed by the caller. Its connection is reused if it was read to the end.
	Body    io.ReadCloser
	from    string // the host, for errors
	trailer *http.Header
}

// Trailer returns a value from after the body, which must have been read, or else from the header.
func (r *Response) Trailer(name string) string {
	if v := r.trailer.Get(name); v != "" {
		return v
	}
	return r.Header.Get(name)
}

// NewClient returns a client. It opens no connection yet.
func NewClient(o Options) *Client {
	if o.Login == nil {
		o.Login = new(Login)
	}
	return &Client{options: o, buffers: buffersOf(o.Codec)}
}

var buffers sync.Map // of *sync.Pool, by Codec

func buffersOf(c Codec) *sync.Pool {
	pool, _ := buffers.LoadOrStore(c, &sync.Pool{New: func() any { return &Buffer{codec: c, packs: c.encoding() != ""} }})
	return pool.(*sync.Pool)
}

const (
	// pingAfter is how long an HTTP/2 connection with a request may be silent until it is tested, and pingWait how long the
	// test may take. A proxy may lose a connection silently. Over HTTP/1 the request's timeout ends such a connection; over
	// HTTP/2 other requests would follow on it.
	pingAfter, pingWait = 10 * time.Second, 10 * time.Second
	// renewAfter is how long connections are used for new requests. Then names are resolved again, and nodes that were added
	// behind a balancer get their share.
	renewAfter = 5 * time.Minute
	// maxDials is how many connections one request may open. It bounds what a server costs that closes each connection, or
	// answers each request with GOAWAY.
	maxDials = 2
)

// transportNow returns the transport for the next request. It makes a new one if the authorities have changed or the old one
// is renewAfter old. Requests on the old one are not disturbed.
func (c *Client) transportNow() *http.Transport {
	config := c.options.TLS.Config()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.transport == nil || config != c.tls || now.Sub(c.born) >= renewAfter {
		if old := c.transport; old != nil {
			old.CloseIdleConnections()
			time.AfterFunc(c.options.Timeout, old.CloseIdleConnections) // those that were in use
		}
		c.transport, c.tls, c.born = newTransport(c.options, config), config, now
	}
	return c.transport
}

func newTransport(o Options, config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!o.GRPC)
	protocols.SetHTTP2(o.GRPC)
	protocols.SetUnencryptedHTTP2(o.GRPC)
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials, ok := ctx.Value(dialsKey{}).(*atomic.Int32); ok && dials.Add(1) > maxDials {
				return nil, errors.New("the server closes each connection before it answers")
			}
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &unsentError{err}
			}
			return &conn{Conn: c}, nil
		},
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 10 * time.Second,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      16 << 10,
		MaxIdleConnsPerHost: 64, // as many as there can be workers
		// Shorter than the time-outs of servers and proxies, so that it is the client that closes.
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // see plain for answers that are compressed nevertheless
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
	}
}

// dialsKey is the key of a request's count of connections in its context.
type dialsKey struct{}

// unsentError means that no connection was made, so that nothing can have been taken.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// Unsent reports whether err means that the host can't have taken anything.
func Unsent(err error) bool {
	var e *unsentError
	return errors.As(err, &e)
}

// Buffer returns memory for a body. The caller must return it with Release.
func (c *Client) Buffer() *Buffer {
	b := c.buffers.Get().(*Buffer)
	b.Bytes, b.packing, b.err, b.sealed = b.Bytes[:0], false, nil, nil
	return b
}

// Release returns b for reuse, unless the transport may still be reading it: after a request that was given up, or an answer
// that came before the body was sent.
func (c *Client) Release(b *Buffer) {
	if b.readers.Load() == 0 {
		c.buffers.Put(b)
	}
}

// Post sends b to u and returns the answer, whatever its status. end is never nil; the caller must call it when it has read
// the answer.
func (c *Client) Post(ctx context.Context, u *url.URL, contentType string, b *Buffer) (r *Response, end func(), err error) {
	return c.PostWith(ctx, u, contentType, b, nil)
}

// PostWith is Post with further headers.
func (c *Client) PostWith(ctx context.Context, u *url.URL, contentType string, b *Buffer, extra http.Header) (r *Response, end func(), err error) {
	ctx, end = context.WithTimeout(ctx, c.options.Timeout)
	payload, err := b.payload(c.options)
	if err != nil {
		return nil, end, err
	}
	request := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, ContentLength: int64(len(payload)),
		Body:    b.body(payload),
		GetBody: func() (io.ReadCloser, error) { return b.body(payload), nil },
	}
	if request.Header, err = c.header(ctx); err != nil {
		return nil, end, err
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
	for name, values := range extra {
		request.Header[name] = values
	}
	request = request.WithContext(ctx)
	if c.options.Sign != nil {
		if err := c.options.Sign(request, payload); err != nil {
			return nil, end, err
		}
	}
	r, err = c.do(request)
	return r, end, err
}

// Get sends a GET request for u. Its results are those of Post.
func (c *Client) Get(ctx context.Context, u *url.URL) (*Response, func(), error) {
	ctx, end := context.WithTimeout(ctx, c.options.Timeout)
	header, err := c.header(ctx)
	if err != nil {
		return nil, end, err
	}
	request := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header}
	request = request.WithContext(ctx)
	if c.options.Sign != nil {
		if err := c.options.Sign(request, nil); err != nil {
			return nil, end, err
		}
	}
	r, err := c.do(request)
	return r, end, err
}

// header returns the headers of all requests, with the current credentials.
func (c *Client) header(ctx context.Context) (http.Header, error) {
	header, err := c.options.Login.Header()
	if err != nil || c.options.Tokens == nil {
		return header, err
	}
	token, err := c.options.Tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	header.Set("Authorization", "Bearer "+token)
	return header, nil
}

func (c *Client) do(request *http.Request) (*Response, error) {
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "remora")
	}
	request.Header.Set("Accept-Encoding", "identity")
	c.addCookies(request)
	var used net.Conn
	var sent atomic.Bool // set by the transport's goroutine
	ctx := context.WithValue(request.Context(), dialsKey{}, new(atomic.Int32))
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { used = i.Conn },
		WroteHeaders: func() { sent.Store(true) }})
	// Use the transport and not http.Client: a redirect would turn a POST into a GET, or send credentials elsewhere.
	answer, err := c.transportNow().RoundTrip(request.WithContext(ctx))
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v: %w", c.options.Timeout, err)
			if c.options.GRPC && used != nil {
				_ = used.Close() // the next request would be sent on it
			}
		} else if sent.Load() && request.Context().Err() == nil {
			err = &Suspect{Cause: fmt.Errorf("the connection ended without an answer: %w", err)}
		}
		return nil, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	r := &Response{
		Status: answer.StatusCode, Header: answer.Header, Body: answer.Body, from: request.URL.Host, trailer: &answer.Trailer,
	}
	c.keepCookies(answer)
	if r.Status == http.StatusUnauthorized && c.options.Tokens != nil {
		c.options.Tokens.Rejected(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "))
	}
	if c.options.GRPC {
		r.Body = &dropping{answer.Body, used}
	}
	return r, r.plain()
}

// maxCookies bounds the cookies kept.
const maxCookies = 16

func (c *Client) addCookies(request *http.Request) {
	if !c.options.Cookies {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cookie := range c.cookies {
		request.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
}

func (c *Client) keepCookies(answer *http.Response) {
	if !c.options.Cookies {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cookie := range answer.Cookies() {
		c.cookies = slices.DeleteFunc(c.cookies, func(known *http.Cookie) bool { return known.Name == cookie.Name })
		if cookie.MaxAge >= 0 && len(c.cookies) < maxCookies {
			c.cookies = append(c.cookies, cookie)
		}
	}
}

// dropping is a body that closes its connection when reading times out, as do does.
type dropping struct {
	io.ReadCloser
	conn net.Conn
}

func (d *dropping) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if errors.Is(err, context.DeadlineExceeded) && d.conn != nil {
		_ = d.conn.Close()
	}
	return n, err
}

// plain undoes compression of the body that was not requested, but that some proxies apply.
func (r *Response) plain() error {
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		r.Header.Del("Content-Encoding")
		r.Body = &unzipped{from: r.Body}
		return nil
	default:
		_ = r.Body.Close()
		return fmt.Errorf("%s: %d with a body in %s, which was not asked for", r.from, r.Status, Quote([]byte(encoding)))
	}
}

// unzipped reads a compressed body. The reader is made at the first read: there may be no body.
type unzipped struct {
	from io.ReadCloser
	zip  *gzip.Reader
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil {
		zip, err := gzip.NewReader(u.from)
		if err != nil {
			return 0, err // io.EOF if there is no body
		}
		u.zip = zip
	}
	return u.zip.Read(p)
}

func (u *unzipped) Close() error { return u.from.Close() }

// Close closes idle connections.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	return nil
}

// maxDrain bounds how much of an answer is read only to reuse its connection.
const maxDrain = 1 << 20

// Discard reads and closes the rest of the answer.
func (r *Response) Discard() {
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	_ = r.Body.Close()
}

// Peek returns up to n bytes from the beginning of the answer's body without consuming them.
func (r *Response) Peek(n int64) []byte {
	head, _ := io.ReadAll(io.LimitReader(r.Body, n))
	r.Body = prefixed{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	return head
}

// prefixed is a body of which a part was read already.
type prefixed struct {
	io.Reader
	io.Closer
}

// quoted bounds how much of an answer an error quotes, in bytes.
const quoted = 300

// Said returns the beginning of the answer's body in one line, for errors. It discards the rest.
func (r *Response) Said() string {
	head, _ := io.ReadAll(io.LimitReader(r.Body, 4*quoted))
	r.Discard()
	return Quote(head)
}

// Quote returns the beginning of p in one line, without control characters.
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
