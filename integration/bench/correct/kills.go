// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// kills kills the collector ten times with SIGKILL, and restarts it at once.
type kills struct{}

func (kills) name() string { return "10 SIGKILLs" }

func (kills) play(_ context.Context, d *day) error {
	left := 10
	return d.logs.write(rate, 11500*time.Millisecond, time.Second, func() error {
		if left--; left < 0 {
			return nil
		}
		d.collector.kill()
		return d.collector.start()
	})
}
