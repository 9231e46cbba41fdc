// SPDX-License-Identifier: Apache-2.0

// Package grpc calls the gRPC services of a runtime at its socket. The gRPC library would add 4 to 6 MB to the binary for a
// handful of calls.
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

// A call of gRPC is a POST over HTTP/2: its body is a byte that says "not compressed", a length, and a message; so is the
// answer's, of which a stream has several, and the status is in the trailers (grpc/doc/PROTOCOL-HTTP2.md). Go speaks HTTP/2
// without TLS since 1.24.

// MaxMessage bounds a message of an answer, as the kubelet does (pkg/kubelet/cri/remote, maxMsgSize).
const MaxMessage = 16 << 20

// maxBeginning is how much of a message that is larger is read.
const maxBeginning = 64 << 10

// prefix is what precedes a message.
const prefix = 5

// The errors that a server's status is wrapped in (grpc/doc/statuscodes.md). ErrNotFound is a containers.ErrGone too.
var (
	ErrNotFound      = fmt.Errorf("%w", containers.ErrGone)
	ErrExhausted     = errors.New("the answer is larger than the server sends")
	ErrUnimplemented = errors.New("it does not serve this")
)

// The codes of status that mean something here.
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

// New makes a client of the services at a socket. A nil dial connects to it in the usual way.
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

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Request is one call. Method is PACKAGE.SERVICE/METHOD.
type Request struct {
	Method string
	// Header holds what the service wants to know beside the message.
	Header  map[string]string
	Message []byte
}

// Call sends a request and returns the only message of its answer. ctx bounds its time.
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

// Stream sends a request and calls each with the messages of its answer, which each may keep, until the answer ends or each
// returns an error. ctx bounds its time. Of a message with more than MaxMessage bytes, large is called with the first ones;
// where large is nil, such a message is an error.
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

// post reads the messages of an answer and returns the headers with its status.
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

// next reads a message; it is nil where it was told to large. At the end of the answer the error is io.EOF.
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

// read reads so many bytes. It makes no room for bytes that do not come.
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
