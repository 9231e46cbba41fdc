// SPDX-License-Identifier: Apache-2.0

// Package null is the output that takes every record and keeps none, for measuring what comes before it.
package null

import (
	"context"

	"github.com/remora-logs/remora/shared/record"
)

// Config has no settings.
type Config struct{}

// Output discards records.
type Output struct{}

// Open returns the output.
func Open(Config) (*Output, error) { return &Output{}, nil }

// Write takes all of b.
func (*Output) Write(ctx context.Context, _ *record.Batch) error { return ctx.Err() }

// Close does nothing.
func (*Output) Close() error { return nil }

// Check has nothing to check.
func (*Output) Check(context.Context) (saw string, err error) { return "drops everything", nil }
