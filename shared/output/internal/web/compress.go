package web

import (
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Codec is how bodies are compressed.
type Codec string

// The codecs.
const (
	None Codec = "none"
	Gzip Codec = "gzip"
	Zstd Codec = "zstd"
)

// Check reports an unknown codec; name is the variable that holds it.
func (c Codec) Check(name string) error {
	if c != None && c != Gzip && c != Zstd {
		return fmt.Errorf("%s is %q; it must be none, gzip or zstd", name, string(c))
	}
	return nil
}

func (c Codec) encoding() string {
	if c == None {
		return ""
	}
	return string(c)
}

// compressor holds the state of the codecs that a buffer was used with.
type compressor struct {
	gzip *gzip.Writer
	zstd *zstd.Encoder
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
	}
	return b.Bytes, nil
}

// sink appends what is written.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}
