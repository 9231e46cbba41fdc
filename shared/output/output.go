// SPDX-License-Identifier: Apache-2.0

// Package output holds the contract of a backend. Each backend is a package below this one and only knows how to say a
// batch in its protocol; retrying, back-off, splitting, dead letters and acknowledgement belong to the pipeline.
package output

import (
	"context"
	"fmt"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// Output is a backend.
//
// Write sends the batch and returns when the backend has taken it, durably by the backend's own measure. It neither
// retries nor waits beyond what its protocol asks for, gives up when ctx ends, and keeps nothing of b once it returns.
// It may be called by several goroutines, with different batches. A record may be written again after an error or a
// lost answer; it then has the same identity.
//
// What its error means:
//   - nil: all records were taken;
//   - *Partial: record by record, all that is not named in it was taken;
//   - *TooLarge: the backend takes no request of this size; send fewer records at a time;
//   - *Refused: the backend will never take these bytes, for a reason that lies in a record or in all of them;
//   - anything else, wrapped in *Throttled or not: nothing is known, and all of it is to be sent again later.
//
// Errors name the backend's address and what it said, never a credential.
type Output interface {
	Write(ctx context.Context, b *record.Batch) error
	// Close gives back connections. Write is not called after it.
	Close() error
}

// Partial is the verdict on a batch of which a part was taken. Indices are those of Batch.Records; Retry is ascending.
type Partial struct {
	Retry   []int
	Refused []Refusal
	// Cause says why, for the log: the first reason that the backend gave.
	Cause error
	// After is how long the backend asked to be left alone; 0 where it did not.
	After time.Duration
}

// Refusal is one record that the backend will never take, and its reason.
type Refusal struct {
	Index  int
	Reason string
}

func (e *Partial) Error() string {
	return fmt.Sprintf("%d records to be sent again, %d refused: %v", len(e.Retry), len(e.Refused), e.Cause)
}

func (e *Partial) Unwrap() error { return e.Cause }

// TooLarge says that the request was larger than the backend takes.
type TooLarge struct{ Cause error }

func (e *TooLarge) Error() string { return fmt.Sprintf("too large: %v", e.Cause) }
func (e *TooLarge) Unwrap() error { return e.Cause }

// Refused says that the backend will not take the batch however often it is sent, because of what is in it.
type Refused struct{ Cause error }

func (e *Refused) Error() string { return fmt.Sprintf("refused: %v", e.Cause) }
func (e *Refused) Unwrap() error { return e.Cause }

// Throttled is an error after which the backend asked to be left alone for a while.
type Throttled struct {
	After time.Duration
	Cause error
}

func (e *Throttled) Error() string { return fmt.Sprintf("throttled for %v: %v", e.After, e.Cause) }
func (e *Throttled) Unwrap() error { return e.Cause }

// Concurrent is an Output that has a setting of its own for how many batches are written at once.
type Concurrent interface {
	// Workers is that number; 0 leaves it to the pipeline.
	Workers() int
}
