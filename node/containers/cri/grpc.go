// SPDX-License-Identifier: Apache-2.0

package cri

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
)

// A unary call of gRPC is a POST over HTTP/2: its body is a byte that says "not compressed", a length, and a message; so is
// the answer's, and the status is in the trailers (grpc/doc/PROTOCOL-HTTP2.md). Go speaks HTTP/2 without TLS since
// 1.24. The gRPC library would add 4 to 6 MB to the binary for three such calls.

// maxAnswer bounds an answer, as the kubelet does (pkg/kubelet/cri/remote, maxMsgSize).
const maxAnswer = 16 << 20

// prefix is what precedes a message.
const prefix = 5

// errUnimplemented is the error of a server that has no CRI: containerd has none where it serves Docker alone.
var errUnimplemented = errors.New("it does not serve the CRI")

// client calls the runtime service at a socket.
type client struct {
	socket string
	http   *http.Client
}

func newClient(socket string) *client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &client{socket: socket, http: &http.Client{Transport: &http.Transport{
		Protocols: protocols, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: askTimeout,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
}

// status is what gRPC's codes mean here (grpc/doc/statuscodes.md).
const (
	statusNotFound      = "5"
	statusUnimplemented = "12"
)

// call sends a request to a method of runtime.v1.RuntimeService and returns the answer.
func (c *client) call(ctx context.Context, method string, request []byte) ([]byte, error) {
	answer, status, err := c.post(ctx, method, request)
	if err != nil {
		return nil, fmt.Errorf("the runtime at %s does not answer %s: %w", c.socket, method, err)
	}
	code, message := status.Get("Grpc-Status"), status.Get("Grpc-Message")
	if text, err := url.PathUnescape(message); err == nil {
		message = text
	}
	switch code {
	case "0":
		return answer, nil
	case statusNotFound:
		return nil, fmt.Errorf("%w: %s", errNotFound, message)
	case statusUnimplemented:
		return nil, fmt.Errorf("the runtime at %s: %w: %s", c.socket, errUnimplemented, message)
	}
	return nil, fmt.Errorf("the runtime at %s refuses %s: %s (gRPC status %q)", c.socket, method, message, code)
}

// post returns the answer's message and the headers with its status.
func (c *client) post(ctx context.Context, method string, request []byte) ([]byte, http.Header, error) {
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/runtime.v1.RuntimeService/"+method, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	response, err := c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "application/grpc") {
		return nil, nil, fmt.Errorf("it answers %s of type %q: it is no gRPC server", response.Status, kind)
	}
	if response.Header.Get("Grpc-Status") != "" { // without a message, the status is in the headers
		return nil, response.Header, nil
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, prefix+maxAnswer+1))
	if err != nil {
		return nil, nil, err
	}
	message, err := unframe(answer)
	if len(answer) == 0 { // an error
		err = nil
	}
	return message, response.Trailer, err
}

// unframe returns the message in the body of an answer.
func unframe(body []byte) ([]byte, error) {
	switch {
	case len(body) < prefix:
		return nil, errors.New("its answer ends too early")
	case body[0] != 0:
		return nil, errors.New("its answer is compressed, which was not asked for")
	}
	size := binary.BigEndian.Uint32(body[1:prefix])
	if size > maxAnswer {
		return nil, fmt.Errorf("its answer has %d bytes; at most %d are read", size, maxAnswer)
	}
	if int(size) != len(body)-prefix {
		return nil, errors.New("its answer is not as long as it says")
	}
	return body[prefix:], nil
}
