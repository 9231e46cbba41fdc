// SPDX-License-Identifier: Apache-2.0

package graylog

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"

	"github.com/klauspost/compress/gzip"

	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

// udp sends each message as one datagram, or in chunks, each after a magic number, a random id, the chunk's number and the
// number of chunks (GELF, "Chunking").
type udp struct {
	*wire.Datagrams
	chunk int // bytes of a message in a datagram
	gzip  bool

	// Datagrams calls for one message after the other. These fields belong to the current one.
	message  []byte
	packed   sink
	zip      *gzip.Writer
	datagram []byte
}

// sink is a writer that appends to a slice.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

func (u *udp) send(ctx context.Context, e *encoder, records []record.Record) error {
	sent, err := u.Send(ctx, len(records), func(to io.Writer, i int) error {
		u.message = e.append(u.message[:0], &records[i])
		return u.write(to, u.pack())
	})
	if err != nil {
		return rest(sent, records, err)
	}
	return nil
}

// pack compresses the message, if that makes it smaller.
func (u *udp) pack() []byte {
	if !u.gzip {
		return u.message
	}
	u.packed = u.packed[:0]
	if u.zip == nil {
		u.zip, _ = gzip.NewWriterLevel(&u.packed, gzip.BestSpeed)
	} else {
		u.zip.Reset(&u.packed)
	}
	if _, err := u.zip.Write(u.message); err != nil || u.zip.Close() != nil || len(u.packed) >= len(u.message) {
		return u.message
	}
	return u.packed
}

func (u *udp) write(to io.Writer, message []byte) error {
	if len(message) <= u.chunk {
		_, err := to.Write(message)
		return err
	}
	id := rand.Uint64() // of this attempt: chunks of two attempts must not be mixed
	total := (len(message) + u.chunk - 1) / u.chunk
	for n := range total {
		u.datagram = append(u.datagram[:0], 0x1e, 0x0f)
		u.datagram = binary.BigEndian.AppendUint64(u.datagram, id)
		u.datagram = append(u.datagram, byte(n), byte(total))
		u.datagram = append(u.datagram, message[n*u.chunk:min((n+1)*u.chunk, len(message))]...)
		if _, err := to.Write(u.datagram); err != nil {
			return err
		}
	}
	return nil
}

func (u *udp) check(ctx context.Context) (saw string, err error) { return u.Check(ctx) }
