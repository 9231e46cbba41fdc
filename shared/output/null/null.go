// SPDX-License-Identifier: Apache-2.0

// Package null is the output that takes everything and keeps nothing: for measuring what comes before it.
package null

import (
	"context"

	"github.com/remora-logs/remora/shared/record"
)

// Config has nothing to set.
type Config struct{}

// Output discards.
type Output struct{}

// Open makes the output.
func Open(Config) (*Output, error) { return &Output{}, nil }

// Write takes all of b.
func (*Output) Write(ctx context.Context, _ *record.Batch) error { return ctx.Err() }

// Close does nothing.
func (*Output) Close() error { return nil }

// Check has nothing to try.
func (*Output) Check(context.Context) (saw string, err error) { return "drops everything", nil }
