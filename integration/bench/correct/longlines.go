// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// longLines writes lines of 1 MiB less a few bytes. A line's number is at its end, so a truncated line does not count.
type longLines struct{}

func (longLines) name() string { return "lines of 1 MiB" }

func (longLines) play(_ context.Context, d *day) error {
	d.logs.padding = 1<<20 - 64
	for range 50 {
		if err := d.logs.burst(1); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}
