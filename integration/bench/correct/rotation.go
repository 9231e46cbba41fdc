// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// rotation renames the file ten times a second.
type rotation struct{}

func (rotation) name() string { return "rename rotation, 10 a second" }

func (rotation) play(_ context.Context, d *day) error {
	return d.logs.write(rate, 5*time.Second, 100*time.Millisecond, d.logs.rotate)
}
