// SPDX-License-Identifier: Apache-2.0

// Package grpc calls the gRPC services of a container runtime at its socket. The gRPC library would add 4 to 6 MB to the
// binary for a handful of calls.
package grpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/remora-logs/remora/node/containers"
)

// A gRPC call is a POST over HTTP/2. The body consists of a zero byte for "not compressed", the length, and the message. The
// response has the same form, with several messages if it is a stream; the status is in the trailers
// (grpc/doc/PROTOCOL-HTTP2.md). net/http speaks HTTP/2 without TLS since Go 1.24.

// MaxMessage bounds a message of a response in bytes, as the kubelet does (pkg/kubelet/cri/remote, maxMsgSize).
const MaxMessage = 16 << 20

// maxBeginning is how many bytes of a larger message are kept.
const maxBeginning = 64 << 10

// prefix is the length of the flag and the size before a message.
const prefix = 5

// The errors that stand for a server's status (grpc/doc/statuscodes.md). ErrNotFound wraps containers.ErrGone.
var (
	ErrNotFound      = fmt.Errorf("%w", containers.ErrGone)
	ErrExhausted     = errors.New("the answer is larger than the server sends")
	ErrUnimplemented = errors.New("it does not serve this")
)

// The status codes that this package distinguishes.
const (
	statusOK            = "0"
	statusNotFound      = "5"
	statusExhausted     = "8"
	statusUnimplemented = "12"
)

// Client calls the services at a socket.
type Client struct {
	socket string
	http   *http.Client
}

// Dial connects to a socket.
type Dial func(ctx context.Context, socket string) (net.Conn, error)

// New returns a client of the services at a socket. If dial is nil, it connects to a Unix socket.
func New(socket string, dial Dial) *Client {
	if dial == nil {
		dial = func(ctx context.Context, socket string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		Protocols: protocols, IdleConnTimeout: time.Minute,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
	}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Request is one call. Method is PACKAGE.SERVICE/METHOD.
type Request struct {
	Method string
	// Header holds further request headers.
	Header  map[string]string
	Message []byte
}

// Call sends a request and returns the only message of the response.
func (c *Client) Call(ctx context.Context, r Request) (answer []byte, err error) {
	n := 0
	err = c.Stream(ctx, r, func(message []byte) error {
		n++
		answer = message
		return nil
	}, nil)
	if err == nil && n != 1 {
		err = fmt.Errorf("the runtime at %s answers %s with %d messages", c.socket, r.Method, n)
	}
	return answer, err
}

// Stream sends a request and calls each with every message of the response until the response ends or each returns an error.
// each may keep the message. For a message of more than MaxMessage bytes, Stream calls large with the first 64 KiB instead; if
// large is nil, such a message is an error.
func (c *Client) Stream(ctx context.Context, r Request, each func(message []byte) error, large func(beginning []byte)) error {
	status, err := c.post(ctx, r, each, large)
	if err != nil {
		return fmt.Errorf("the runtime at %s does not answer %s: %w", c.socket, r.Method, err)
	}
	code, message := status.Get("Grpc-Status"), status.Get("Grpc-Message")
	if text, err := url.PathUnescape(message); err == nil {
		message = text
	}
	switch code {
	case statusOK:
		return nil
	case statusNotFound:
		return fmt.Errorf("%w: %s", ErrNotFound, message)
	case statusExhausted:
		return fmt.Errorf("the runtime at %s: %w: %s", c.socket, ErrExhausted, message)
	case statusUnimplemented:
		return fmt.Errorf("the runtime at %s: %w: %s", c.socket, ErrUnimplemented, message)
	}
	return fmt.Errorf("the runtime at %s refuses %s: %s (gRPC status %q)", c.socket, r.Method, message, code)
}

// post sends a request, reads the messages of the response, and returns the headers or trailers that hold its status.
func (c *Client) post(ctx context.Context, r Request, each func(message []byte) error, large func(beginning []byte)) (http.Header, error) {
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(r.Message))), r.Message...)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/"+r.Method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "application/grpc") {
		return nil, fmt.Errorf("it answers %s of type %q: it is no gRPC server", response.Status, kind)
	}
	if response.Header.Get("Grpc-Status") != "" { // without a message, the status is in the headers
		return response.Header, nil
	}
	for {
		message, err := next(response.Body, large)
		if errors.Is(err, io.EOF) {
			return response.Trailer, nil
		}
		if err == nil && message != nil {
			err = each(message)
		}
		if err != nil {
			return nil, err
		}
	}
}

// next reads a message. It returns nil if it has passed the message to large, and io.EOF at the end of the response.
func next(r io.Reader, large func(beginning []byte)) ([]byte, error) {
	var head [prefix]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if head[0] != 0 {
		return nil, errors.New("its answer is compressed, which was not asked for")
	}
	size := int64(binary.BigEndian.Uint32(head[1:]))
	if size > MaxMessage {
		if large == nil {
			return nil, fmt.Errorf("its answer has %d bytes; at most %d are read", size, MaxMessage)
		}
		beginning, err := read(r, maxBeginning)
		if err == nil {
			large(beginning)
			_, err = io.CopyN(io.Discard, r, size-maxBeginning)
		}
		return nil, unexpected(err)
	}
	message, err := read(r, size)
	return message, unexpected(err)
}

// read reads size bytes. It allocates as the bytes arrive, not by the announced size.
func read(r io.Reader, size int64) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, min(size, maxBeginning)))
	_, err := io.CopyN(b, r, size)
	return b.Bytes(), err
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("its answer ends too early")
	}
	return err
}
