// SPDX-License-Identifier: Apache-2.0

// Package cut turns the bytes of a stream into records: frames of log drivers, the files that container runtimes write,
// whose partial messages it joins, and lines.
package cut

import "github.com/remora-logs/remora/shared/record"

// Cutter finds the records in the bytes of one stream. It is given the stream from its start, or from a Position's Low,
// piece after piece, and may hold state between the pieces. One goroutine uses it at a time.
type Cutter interface {
	// Cut appends to b a record for each one that ends in data, and returns how many bytes of data it has consumed: what
	// is left is given again, with more behind it. data is memory of b, so that records may point into it; what has to
	// outlive the batch is copied. at is the offset of data[0], now the time in ns since 1970. last says that nothing
	// follows data, ever: all of it is consumed and what is unfinished becomes a record as it is.
	//
	// Bytes that can't be made sense of are consumed and counted in Skipped; no input makes it fail or panic.
	Cut(b *record.Batch, data []byte, at, now int64, last bool) (consumed int)
	// Open is the offset of the first byte of the oldest record that was begun and consumed in part, or -1.
	Open() int64
	// Expire ends, as they are, those unfinished records that are older than the cutter's time limit at now.
	Expire(b *record.Batch, now int64)
	// Err is why the last Cut did not consume all that it could have, or it or the last Expire left unfinished what was to
	// end: bytes at or after Open are needed again, and the stream does not give them. Usually nil. All is as if the rest
	// had not been asked for yet: give what was not consumed again later, with last where nothing follows.
	Err() error
	// Skipped counts the bytes, and the places they lay in, that no record could be made of since the cutter was made.
	Skipped() (bytes, places int64)
}
