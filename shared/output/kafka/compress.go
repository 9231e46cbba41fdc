// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// newCompressor returns the compressor of that codec, at its default level; nil for none.
func newCompressor(codec string) (kgo.Compressor, error) {
	if codec == "lz4" {
		return newBlocks(), nil
	}
	return kgo.DefaultCompressor(codecs[codec])
}

// blocks compresses with lz4 in blocks of 64 KiB, as Kafka's own Java client does. The library's blocks are of 4 MiB, for
// which it holds twice as much memory with each batch in flight, however small.
type blocks struct{ writers sync.Pool }

func newBlocks() *blocks {
	return &blocks{writers: sync.Pool{New: func() any {
		w := lz4.NewWriter(nil)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
			panic(err) // the option is a constant
		}
		return w
	}}}
}

// Compress implements kgo.Compressor.
func (b *blocks) Compress(dst *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	w := b.writers.Get().(*lz4.Writer)
	defer b.writers.Put(w)
	w.Reset(dst)
	if _, err := w.Write(src); err != nil {
		return nil, kgo.CodecError
	}
	if err := w.Close(); err != nil {
		return nil, kgo.CodecError
	}
	return dst.Bytes(), kgo.CodecLz4
}

// pack returns the batch, with room for its header, as it is sent, and the codec's number in the header.
func (q *queue) pack(batch []byte, c kgo.Compressor) ([]byte, int8) {
	if c == nil {
		return batch, 0
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	p, codec := c.Compress(b, batch[headerBytes:])
	if codec <= 0 { // compression failed; send the batch uncompressed
		return batch, 0
	}
	q.packed = append(append(q.packed[:0], make([]byte, headerBytes)...), p...)
	return q.packed, int8(codec)
}

// buffers are the buffers to compress into.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
