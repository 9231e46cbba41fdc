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
	Cutter cut.Cutter
	// Chain is what is done with the records of the stream: multiline, format, filters; nil for nothing.
	Chain  *format.Chain
	Source *record.Source
	// Output is the name of the output, as in LOGGING_OUTPUT.
	Output string
	// Keep says that the checkpoint is kept when the stream has ended, because the source may attach it again: a file
	// that was rotated can still grow. Forgetting it is then left to the source.
	Keep bool
	// Done, where set, is called once, from a goroutine of the pipeline, when the stream has ended and all of it is
	// acknowledged, or when the route was detached. It must not block.
	Done func()
}
