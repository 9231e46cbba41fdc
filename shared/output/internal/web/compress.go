// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Codec is a compression of bodies.
type Codec string

// The codecs. Snappy is the block format that Loki requires; it is part of Loki's protocol and not a Content-Encoding.
const (
	None   Codec = "none"
	Gzip   Codec = "gzip"
	Zstd   Codec = "zstd"
	Snappy Codec = "snappy"
)

// Check reports an unknown codec; name is the variable that holds it.
func (c Codec) Check(name string) error {
	if c != None && c != Gzip && c != Zstd {
		return fmt.Errorf("%s is %q; it must be none, gzip or zstd", name, string(c))
	}
	return nil
}

func (c Codec) encoding() string {
	if c == Gzip || c == Zstd {
		return string(c)
	}
	return ""
}

// chunk is how much of a body gathers before it is compressed: little enough to be in the processor's cache still.
const chunk = 64 << 10

// packer compresses a body piece by piece.
type packer interface {
	io.WriteCloser
	Reset(to io.Writer)
}

// newPacker returns a packer of the fastest level: the network is seldom what limits a node.
func newPacker(c Codec, to io.Writer) (packer, error) {
	if c == Gzip {
		return gzip.NewWriterLevel(to, gzip.BestSpeed)
	}
	// A window of 128 KiB finds the repetitions in logs and stays in the processor's cache: 512 KiB took a fifth more time,
	// and made bodies a tenth larger. The checksum is optional (RFC 8878, 3.1.1); TCP and TLS have their own.
	return zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
}

// Pack compresses and empties Bytes if bodies are compressed and enough has gathered. It is to be called after each record, so
// that neither memory nor the processor's cache has to hold the whole body.
func (b *Buffer) Pack() {
	if b.packs && len(b.Bytes) >= chunk {
		b.pack()
	}
}

// pack compresses Bytes and empties it.
func (b *Buffer) pack() {
	if !b.packing {
		b.packing, b.packed = true, b.packed[:0]
		if b.packer == nil {
			b.packer, b.err = newPacker(b.codec, (*sink)(&b.packed))
		} else {
			b.packer.Reset((*sink)(&b.packed))
		}
	}
	if b.err == nil {
		_, b.err = b.packer.Write(b.Bytes)
	}
	b.Bytes = b.Bytes[:0]
}

// Seal ends a body that several clients of the same codec send concurrently. Each of them then posts it unchanged.
func (c *Client) Seal(b *Buffer) error {
	payload, err := b.payload(c.options)
	b.sealed = payload
	return err
}

// payload returns the body as it is sent: compressed and, for gRPC, after a prefix that says whether it is compressed and how
// long it is (PROTOCOL-HTTP2.md in gRPC's documentation).
func (b *Buffer) payload(o Options) ([]byte, error) {
	if b.sealed != nil {
		return b.sealed, nil
	}
	p, err := b.compress()
	if err != nil || !o.GRPC {
		return p, err
	}
	prefix := [5]byte{}
	if o.Codec.encoding() != "" {
		prefix[0] = 1
	}
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(p)))
	b.framed = append(append(b.framed[:0], prefix[:]...), p...)
	return b.framed, nil
}

// compress returns the compressed body. It may be called once. The result is valid until b is released.
func (b *Buffer) compress() ([]byte, error) {
	switch b.codec {
	case Gzip, Zstd:
		if b.pack(); b.err == nil {
			b.err = b.packer.Close()
		}
		return b.packed, b.err
	case Snappy:
		b.packed = s2.EncodeSnappy(b.packed[:cap(b.packed)], b.Bytes)
		return b.packed, nil
	}
	return b.Bytes, nil
}

// sink is a writer that appends to a slice.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}
