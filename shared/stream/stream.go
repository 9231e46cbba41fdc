// SPDX-License-Identifier: Apache-2.0

// Package stream defines a source of bytes: a durable stream that is read at offsets and released.
package stream

import "fmt"

// Stream is one reader's view of a durable sequence of bytes on this node. Offsets count from 0 at its first byte and never
// change their meaning: the same offset yields the same bytes, also after a restart, or an error.
//
// End and Ended may be called from any goroutine at any time. ReadAt is called by one goroutine at a time. Mark and Release
// are called by one goroutine at a time as well, which may be another one than ReadAt's, while ReadAt runs.
type Stream interface {
	// Key identifies the stream on this node. It is the same after a restart and is never reused for other bytes.
	Key() string
	// End returns the offset just past the last byte that is known to exist. It is a hint to read again, is called some tens
	// of times a second for each stream, and must cost no more than an atomic load.
	End() int64
	// Ended reports whether nothing will ever follow End, or whether the reader should call ReadAt for another reason. Like
	// End it is a hint and costs an atomic load or two. Only an io.EOF of ReadAt ends the stream.
	Ended() bool
	// ReadAt reads into p from offset off. It returns 0 and nil if there is nothing more for now, io.EOF if there is nothing
	// at or after off+n and never will be, and a *Gap if the bytes at off are gone. Any other error may be temporary, and the
	// reader tries again later. Bytes that have been read and lie beyond what was released can be read again.
	ReadAt(p []byte, off int64) (n int, err error)
	// Mark returns what proves after a restart that the bytes below off are still the same ones; nil if the key alone proves
	// it. It is stored with the checkpoint.
	Mark(off int64) ([]byte, error)
	// Release tells the stream that this reader's checkpoint is durably off: the bytes below will not be read again.
	Release(off int64)
}

// Gap is the error of a read at an offset whose bytes were given up before they could be read. Reading resumes at To. The
// same Gap is returned until the reader has released To.
type Gap struct {
	From, To int64
	// Records is the number of whole records in the gap, -1 if it is not known. Bytes is the number of bytes of the stream
	// in the gap, 0 if it is not known either.
	Records, Bytes int64
	// Reason is a word or two: "spool full", "truncated".
	Reason string
}

func (g *Gap) Error() string {
	return fmt.Sprintf("bytes %d to %d are gone (%s)", g.From, g.To, g.Reason)
}

// Std is the one of a container's two output streams that bytes come from.
type Std uint8

// The output streams. Bytes whose stream is not known count as Stdout.
const (
	Stdout Std = 1
	Stderr Std = 2
)

// Chunked is a Stream of a container's bytes in the order in which they came, with stdout and stderr mixed.
type Chunked interface {
	Stream
	// Chunk returns the chunk that describes the bytes from off, which must be below End, up to Chunk.End. It is called by the
	// goroutine that calls ReadAt.
	Chunk(off int64) (Chunk, error)
}

// Chunk describes bytes that were read from one stream of a container at one time.
type Chunk struct {
	Std Std
	// Time is when they were read, in ns since 1970; 0 if that is not known.
	Time int64
	// End is where the next chunk begins; math.MaxInt64 if there is none yet.
	End int64
	// EndsLine means that a line without an end before End ends there.
	EndsLine bool
}
