// SPDX-License-Identifier: Apache-2.0

// Package checkpoint keeps, across restarts, how far each stream was acknowledged by each output.
package checkpoint

import "time"

// Key names a checkpoint: a stream, as one declaration sees it, on its way to one output.
type Key struct{ Stream, Declaration, Output string }

// Position is how far a stream was acknowledged. Low <= Done.
//
// All records that the stream's bytes up to Done give rise to were acknowledged, except those that were unfinished at
// Done (a partial message, a group of lines); the first byte of the oldest of these is at Low. A reader that
// resumes reads from Low, and skips records that complete at or before Done.
type Position struct{ Low, Done int64 }

// Entry is a position, what proves that the stream's bytes are still the same ones (see stream.Stream.Mark), and what
// has gone wrong up to there.
type Entry struct {
	Position
	Mark   []byte
	Losses Losses
}

// Losses is what could not be delivered since the stream began. It is stored so that it is known after a restart.
type Losses struct {
	Gaps           int64 `json:"gaps"` // places where records were dropped
	DroppedRecords int64 `json:"dropped_records"`
	DroppedBytes   int64 `json:"dropped_bytes"`
	RefusedRecords int64 `json:"refused_records"`
	// Learned is what the chain has learned from the stream up to there, as format.Chain.Learned returns it.
	Learned string `json:"learned,omitempty"`
	// Limited is when rate_limit judged a record of the stream last, in ns since 1970; 0 if it never did.
	Limited int64 `json:"limited,omitempty"`
	// Error is the last one, empty where there was none; Since is when that was.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
}
