// SPDX-License-Identifier: Apache-2.0

// Package pipeline carries records from streams to outputs. It reads streams in turn, batches their records, sends and retries
// them, and moves a stream's checkpoint only when the output has acknowledged its records.
package pipeline

import (
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// Route is one declaration of one stream on its way to one output. The pipeline owns all of it from Attach until Done.
type Route struct {
	Stream stream.Stream
	// Open returns the cutter and the chain (multiline, format, filters; nil for none) in their initial state. Attach calls
	// it and returns its error, and so does each return to the checkpoint: while a backend blocks the route's destination, the
	// route costs only an offset and a timer, and the stream is read again later.
	Open   func() (cut.Cutter, *format.Chain, error)
	Source *record.Source
	// Series is common to streams that were written one after the other, such as a file and its successor of the same name.
	// Under one declaration they are read in that order, the oldest first. A stream may tell its order with a method
	// Order() int64; otherwise the order is that in which they were attached. Empty for a stream in no series.
	Series string
	// Rules identify how Open's cutter and chain work. Routes of one stream and declaration to several outputs with the same
	// Rules make the same records of the same bytes, and share the work. Empty for a route that shares nothing.
	Rules string
	// Output is the name of the output, as in LOGGING_OUTPUT.
	Output string
	// Keep means that the checkpoint is kept when the stream has ended, because the source may attach it again: a rotated
	// file can still grow. The source then removes the checkpoint.
	Keep bool
	// Done, if not nil, is called once, from a goroutine of the pipeline, when the stream has ended or the route was detached,
	// and everything that was read is acknowledged. It must not block.
	Done func()
}

// Plain returns the Open of a route without a chain.
func Plain(newCutter func() cut.Cutter) func() (cut.Cutter, *format.Chain, error) {
	return func() (cut.Cutter, *format.Chain, error) { return newCutter(), nil, nil }
}
