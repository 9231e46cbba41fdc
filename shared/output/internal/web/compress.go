package web

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Codec is how bodies are compressed.
type Codec string

// The codecs. Snappy is the block format that Loki wants, where it is part of the protocol and no Content-Encoding.
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

// compressor holds the state of the codecs that a buffer was used with.
type compressor struct {
	gzip *gzip.Writer
	zstd *zstd.Encoder
}

// payload is b's bytes as they are sent: compressed, and as a message of gRPC with its prefix (PROTOCOL-HTTP2.md in gRPC's
// documentation): whether it is compressed, and its length.
func (b *Buffer) payload(o Options) ([]byte, error) {
	p, err := b.compress(o.Codec)
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

// compress returns b's bytes, compressed. They stand in b as long as it is not released.
func (b *Buffer) compress(c Codec) ([]byte, error) {
	var err error
	switch c {
	case Gzip:
		out := (*sink)(&b.packed)
		b.packed = b.packed[:0]
		if b.compressor.gzip == nil {
			// The fastest level: the network is seldom what is scarce on a node.
			if b.compressor.gzip, err = gzip.NewWriterLevel(out, gzip.BestSpeed); err != nil {
				return nil, err
			}
		}
		b.compressor.gzip.Reset(out)
		if _, err = b.compressor.gzip.Write(b.Bytes); err == nil {
			err = b.compressor.gzip.Close()
		}
		return b.packed, err
	case Zstd:
		if b.compressor.zstd == nil {
			// A window of 512 KiB finds what repeats in logs, and bounds the memory.
			b.compressor.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
				zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
			if err != nil {
				return nil, err
			}
		}
		b.packed = b.compressor.zstd.EncodeAll(b.Bytes, b.packed[:0])
		return b.packed, nil
	case Snappy:
		b.packed = s2.EncodeSnappy(b.packed[:cap(b.packed)], b.Bytes)
		return b.packed, nil
	}
	return b.Bytes, nil
}

// sink appends what is written.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}
