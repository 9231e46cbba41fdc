// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/record"
)

// Buffer is memory for a body, with what is needed to write records into it. It is used again and again.
type Buffer struct {
	Bytes []byte
	Enc   record.Encoder

	codec   Codec
	packs   bool // the body is compressed as it is written
	packer  packer
	packing bool         // it has taken something of this body
	packed  []byte       // compressed
	err     error        // of packing
	framed  []byte       // with gRPC's prefix
	sealed  []byte       // the payload, where it was asked for in advance
	readers atomic.Int32 // bodies that the transport has not closed
}

// Room makes room for a body of n bytes, or for what gathers of it where it is compressed. A body that grows step by step
// leaves several times as much garbage behind as it is long at last.
func (b *Buffer) Room(n int) {
	if b.packs {
		n = min(n, 2*chunk)
	}
	if cap(b.Bytes) < n {
		b.Bytes = make([]byte, 0, n+n/16)
	}
}

// body returns a reader of payload that counts among b's readers until it is closed. The transport may continue to read after it
// has returned an error or an answer.
func (b *Buffer) body(payload []byte) io.ReadCloser {
	b.readers.Add(1)
	return &body{Reader: bytes.NewReader(payload), of: b}
}

type body struct {
	*bytes.Reader
	of     *Buffer
	closed atomic.Bool
}

func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.of.readers.Add(-1)
	}
	return nil
}

// conn hands a body that is in memory to the kernel in one call; net/http would copy it in pieces of 32 KiB.
type conn struct{ net.Conn }

func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if b, ok := limited.R.(*body); ok && int64(b.Len()) <= limited.N {
			n, err := b.WriteTo(c.Conn)
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
