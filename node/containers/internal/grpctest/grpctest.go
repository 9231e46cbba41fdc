// SPDX-License-Identifier: Apache-2.0

// Package grpctest serves gRPC like a container runtime, for tests.
package grpctest

import (
	"encoding/binary"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// Message is an encoded message, to which fields are added.
type Message []byte

// Number adds a varint field.
func (m Message) Number(field protowire.Number, n uint64) Message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), n)
}

// Text adds a string or a message field.
func (m Message) Text(field protowire.Number, s string) Message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

// Pair adds an entry to a map of strings.
func (m Message) Pair(field protowire.Number, key, value string) Message {
	return m.Text(field, string(Message(nil).Text(1, key).Text(2, value)))
}

// Frame returns a message with the prefix that precedes it on the wire.
func Frame(m Message) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// Serve serves gRPC at a Unix socket and returns the socket's path.
func Serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP1(true)
	server := &http.Server{Handler: handler, Protocols: protocols}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return listener.Addr().String()
}
