// SPDX-License-Identifier: Apache-2.0

// Package cut turns the bytes of a stream into records: frames of log drivers, the files that container runtimes write,
// whose partial messages it joins, and lines.
package cut

import "github.com/remora-logs/remora/shared/record"

// Cutter finds the records in the bytes of one stream. It is given the stream piece by piece, from its start or from a
// Position's Low, and may keep state between the pieces. It is not safe for concurrent use.
type Cutter interface {
	// Cut appends to b each record that ends in data, and returns how many bytes of data it has consumed. The caller passes the
	// rest again, followed by more bytes. data is memory of b, so that records may point into it; Cut copies what has to outlive
	// the batch. at is the offset of data[0], and now the time in ns since 1970. If last is set, nothing ever follows data: Cut
	// consumes all of it, and an unfinished record is appended as it is.
	//
	// Undecodable bytes are consumed and counted in Skipped. No input makes Cut fail or panic.
	Cut(b *record.Batch, data []byte, at, now int64, last bool) (consumed int)
	// Open returns the offset of the oldest record that was consumed in part, or -1 if there is none.
	Open() int64
	// Expire appends to b, as they are, the unfinished records that exceed the cutter's time limit at now.
	Expire(b *record.Batch, now int64)
	// Err returns the error of the last Cut or Expire, usually nil: they needed bytes at or after Open again, and could not read
	// them from the stream. The cutter is unharmed. The caller passes the bytes that were not consumed again later, with last as
	// before.
	Err() error
	// Skipped returns the total number of undecodable bytes, and of the places in which they lay.
	Skipped() (bytes, places int64)
}
