// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/record"
)

// Buffer is reusable memory for a body, with what is needed to encode records into it.
type Buffer struct {
	Bytes []byte
	Enc   record.Encoder

	codec   Codec
	packs   bool // the body is compressed as it is written
	packer  packer
	packing bool         // packed holds the beginning of this body
	packed  []byte       // compressed
	err     error        // of packing
	framed  []byte       // with gRPC's prefix
	sealed  []byte       // the payload, if Seal made it
	readers atomic.Int32 // bodies that the transport has not closed
}

// Room makes room for a body of n bytes, or for as much of it as gathers before it is compressed. A body that grows step by
// step leaves several times its length behind as garbage.
func (b *Buffer) Room(n int) {
	if b.packs {
		n = min(n, 2*chunk)
	}
	if cap(b.Bytes) < n {
		b.Bytes = make([]byte, 0, n+n/16)
	}
}

// body returns a reader of payload that counts among b's readers until it is closed. The transport may go on reading after it
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

// conn passes a body in memory to the kernel in one call. net/http would copy it in pieces of 32 KiB.
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
