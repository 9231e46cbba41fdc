// SPDX-License-Identifier: Apache-2.0

// Package stream is the contract of a source of bytes: a durable stream that is read at an offset and released.
package stream

import "fmt"

// Stream is one reader's view of a durable sequence of bytes on this node. Offsets count from 0 at its first byte and
// never change their meaning: the same offset gives the same bytes, after a restart too, or an error.
//
// End and Ended may be called from any goroutine at any time. ReadAt is called by one goroutine at a time, Mark and Release
// by one too, but that may be another, while ReadAt runs.
type Stream interface {
	// Key names the stream on this node. It is the same after a restart and is never given to other bytes.
	Key() string
	// End is the offset just past the last byte that is known to be there. It is a hint to look again, asked some
	// tens of times a second for each stream, and must cost no more than an atomic load.
	End() int64
	// Ended reports whether nothing will ever follow End, or whether the bytes before it are to be read again for another
	// reason. Like End it is a hint and costs an atomic load or two; what counts is the io.EOF of ReadAt, which the reader then
	// asks for.
	Ended() bool
	// ReadAt reads into p from offset off. 0 and nil mean "no more for now"; io.EOF means that there is nothing at or
	// after off+n and never will be. *Gap means that the bytes at off are gone. Any other error may pass: the reader
	// tries again later. What was read once, and lies behind what was released, can be read again.
	ReadAt(p []byte, off int64) (n int, err error)
	// Mark returns what proves, after a restart, that the bytes below off are still these; nil where the key alone
	// proves it. It is stored beside the checkpoint.
	Mark(off int64) ([]byte, error)
	// Release reports that this reader's checkpoint is off, durably: what lies below will not be read again.
	Release(off int64)
}

// Gap is the error of a read at an offset whose bytes were given up before they could be read. Reading resumes at To.
// The same Gap is returned until the reader has released To.
type Gap struct {
	From, To int64
	// Records is how many whole records lay between, -1 where that can't be known; Bytes is how many bytes of the
	// stream, 0 where that can't be known either.
	Records, Bytes int64
	// Reason in a word or two: "spool full", "truncated".
	Reason string
}

func (g *Gap) Error() string {
	return fmt.Sprintf("bytes %d to %d are gone (%s)", g.From, g.To, g.Reason)
}

// Std is which of a container's two streams bytes come from.
type Std uint8

// The streams. Bytes of which that is not known count as Stdout.
const (
	Stdout Std = 1
	Stderr Std = 2
)

// Chunked is a Stream of a container's bytes as they came, in which those of both its streams are mixed.
type Chunked interface {
	Stream
	// Chunk returns what is known of the byte at off, which is below End, and of those behind it up to Chunk.End. It is
	// called by the goroutine that calls ReadAt.
	Chunk(off int64) (Chunk, error)
}

// Chunk is bytes that were read from one stream of a container at one time.
type Chunk struct {
	Std Std
	// Time is when they were read, in ns since 1970; 0 where that is not known.
	Time int64
	// End is where the next chunk begins, math.MaxInt64 where there is none yet.
	End int64
	// EndsLine says that lines which have no end before End are ended there.
	EndsLine bool
}
