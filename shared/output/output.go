// SPDX-License-Identifier: Apache-2.0

// Package output is the contract of a backend. Each backend is a package below this one. It only knows how to encode a
// batch in its protocol and how to read the answer. Retrying, back-off, splitting, waiting, parking, dead letters and
// acknowledgement belong to the pipeline.
package output

import (
	"context"
	"fmt"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// Output is a backend.
//
// Write sends the batch and returns when the backend has taken it, durably by the backend's own measure. It does not
// retry, waits no longer than its protocol requires, gives up when ctx ends, and keeps nothing of b after it returns.
// Several goroutines may call it with different batches. After an error or a lost answer, a record may be written
// again; its identity is then the same.
//
// The error is a verdict on the batch:
//   - nil: every record was taken;
//   - *Partial: verdicts by record; every record that it does not name was taken;
//   - *TooLarge: the request was too large; the pipeline sends fewer records at a time;
//   - *Refused: the backend will never take these bytes, because of the content of at least one record;
//   - *Blocked: no record was taken, because of the one destination that all of them share;
//   - any other error, wrapped in *Throttled or not: the output as a whole is busy or unreachable and nothing is known
//     of the records. The pipeline sends all of them again later, and everything behind them waits.
//
// Choose the narrowest verdict that is true. Only what concerns every record that the output could send now may be "any
// other error", because it stops all streams. What an operator can mend (missing rights, a closed index, an unknown
// tenant) is never *Refused.
//
// Errors name the backend's address and its answer, and never contain a credential.
type Output interface {
	Write(ctx context.Context, b *record.Batch) error
	// Close returns connections. Write is not called after it.
	Close() error
}

// Addressed is an Output that sends records to more than one destination: an index, topic, tenant, stream or file. An
// output that returns Blocked verdicts must implement it.
type Addressed interface {
	// AppendDestination appends the name of the destination that r would be sent to now, in the words of the backend
	// ("index app-2026.01.02"). Equal names mean that the backend accepts or blocks records for the same reasons; the
	// name is shown to people, is at most MaxDestination bytes long, and equals Blockage.Destination for the same
	// record. The pipeline calls it only while something is blocked, also with a copy of a record that has another Time.
	// It must not wait or ask the backend, and several goroutines may call it.
	AppendDestination(dst []byte, r *record.Record) []byte
}

// MaxDestination bounds the name of a destination, in bytes.
const MaxDestination = 512

// Partial is the verdict on a batch of which a part was taken. Indices are those of Batch.Records, and each occurs once
// at most.
type Partial struct {
	// Retry, in ascending order, are records of which nothing is known, or that the backend was too busy to take. They
	// are sent again in place a few times; then their streams wait.
	Retry []int
	// Refused are records that the backend will never take.
	Refused []Refusal
	// Blocked are records that the backend does not take because of their destination.
	Blocked []Blockage
	// Cause is the reason that the backend gave for the first of Retry, or else its first reason.
	Cause error
	// After is how long the backend asked to wait before Retry is sent again; 0 if it did not say.
	After time.Duration
}

// Refusal is a record that the backend will never take, and the reason.
type Refusal struct {
	Index  int
	Reason string
}

// Blockage is a record that the backend does not take now because of its destination: something that an operator can
// mend, or a limit of that destination alone. The record's stream waits, or the record is parked; other destinations
// are served meanwhile.
type Blockage struct {
	Index int
	// Destination is what Addressed.AppendDestination returns for the record.
	Destination string
	// Reason is the backend's answer in one line.
	Reason string
	// After is how long the backend asked to wait for this destination; 0 if it did not say.
	After time.Duration
}

func (e *Partial) Error() string {
	return fmt.Sprintf("%d records to be sent again, %d refused, %d blocked: %v", len(e.Retry), len(e.Refused),
		len(e.Blocked), e.Cause)
}

func (e *Partial) Unwrap() error { return e.Cause }

// Blocked means that no record of the batch was taken because of the destination that all of them share. See Blockage.
type Blocked struct {
	Destination string
	Cause       error
	After       time.Duration
}

func (e *Blocked) Error() string { return fmt.Sprintf("%s blocked: %v", e.Destination, e.Cause) }
func (e *Blocked) Unwrap() error { return e.Cause }

// TooLarge means that the request was larger than the backend accepts.
type TooLarge struct{ Cause error }

func (e *TooLarge) Error() string { return fmt.Sprintf("too large: %v", e.Cause) }
func (e *TooLarge) Unwrap() error { return e.Cause }

// Refused means that the backend will not take the batch however often it is sent, because of its content.
type Refused struct{ Cause error }

func (e *Refused) Error() string { return fmt.Sprintf("refused: %v", e.Cause) }
func (e *Refused) Unwrap() error { return e.Cause }

// Throttled is an error after which the backend asked to be left alone for After.
type Throttled struct {
	After time.Duration
	Cause error
}

func (e *Throttled) Error() string { return fmt.Sprintf("throttled for %v: %v", e.After, e.Cause) }
func (e *Throttled) Unwrap() error { return e.Cause }

// Concurrent is an Output with a setting of its own for the number of batches written at once.
type Concurrent interface {
	// Workers returns that number; 0 leaves it to the pipeline.
	Workers() int
}
