// SPDX-License-Identifier: Apache-2.0

// Package checkpoint stores durably how far each output has acknowledged each stream.
package checkpoint

import "time"

// Key identifies a checkpoint: a stream, under one declaration, on its way to one output.
type Key struct{ Stream, Declaration, Output string }

// Position is how far a stream was acknowledged. Low <= Done.
//
// All records made of the stream's bytes up to Done were acknowledged, except those that were unfinished at Done, such as a
// partial message or a group of lines. The first byte of the oldest of these is at Low. A reader that resumes reads from Low,
// and skips records that complete at or before Done.
type Position struct{ Low, Done int64 }

// Entry is a position, the proof that the stream's bytes are still the same ones (see stream.Stream.Mark), and what was lost
// up to there.
type Entry struct {
	Position
	Mark   []byte
	Losses Losses
}

// Losses is what could not be delivered since the stream began, and other state of the stream that must survive a restart.
type Losses struct {
	Gaps           int64 `json:"gaps"` // places where records were dropped
	DroppedRecords int64 `json:"dropped_records"`
	DroppedBytes   int64 `json:"dropped_bytes"`
	RefusedRecords int64 `json:"refused_records"`
	// Learned is what the chain has learned from the stream up to the position, as format.Chain.Learned returns it.
	Learned string `json:"learned,omitempty"`
	// Limited is when rate_limit last judged a record of the stream, in ns since 1970; 0 if it never did.
	Limited int64 `json:"limited,omitempty"`
	// Error is the last error, empty if there was none. Since is when it occurred.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
}
