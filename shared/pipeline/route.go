// SPDX-License-Identifier: Apache-2.0

// Package pipeline carries records from streams to outputs: it reads in turn, batches, sends, retries, and moves a
// checkpoint when, and only when, the output has acknowledged.
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
	// Open returns the cutter and the chain (multiline, format, filters; nil for nothing) in their initial state.
	// Attach calls it, and so does each return to the checkpoint: a backend that blocks the route's destination costs
	// an offset and a timer, and the stream is read again later. The error of the first call is that of Attach.
	Open   func() (cut.Cutter, *format.Chain, error)
	Source *record.Source
	// Series names what streams have in common that were written one after the other, as a file and its successor of the
	// same name: of those under one declaration the older is read before the younger. Streams tell their order by a method
	// Order() int64; else they are as old as they were attached. Empty for a stream that is alone.
	Series string
	// Rules say how Open's cutter and chain work: routes of one stream and declaration to several outputs that have the same
	// Rules make the same records of the same bytes, and share the work. Empty for a route that shares nothing.
	Rules string
	// Output is the name of the output, as in LOGGING_OUTPUT.
	Output string
	// Keep means that the checkpoint is kept when the stream has ended, because the source may attach it again: a file
	// that was rotated can still grow. Removing it is then left to the source.
	Keep bool
	// Done, if set, is called once, from a goroutine of the pipeline, when the stream has ended and all of it is
	// acknowledged, or when the route was detached. It must not block.
	Done func()
}

// Plain returns the Open of a route without a chain.
func Plain(newCutter func() cut.Cutter) func() (cut.Cutter, *format.Chain, error) {
	return func() (cut.Cutter, *format.Chain, error) { return newCutter(), nil, nil }
}
