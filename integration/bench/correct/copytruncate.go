// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"time"
)

// copytruncate copies the file twice a second and truncates it. The application does not write meanwhile, so nothing is lost
// that a collector could not have read.
type copytruncate struct{}

func (copytruncate) name() string { return "copytruncate, 2 a second" }

func (copytruncate) play(_ context.Context, d *day) error {
	l := d.logs
	return l.write(rate, 5*time.Second, 500*time.Millisecond, func() error {
		content, err := os.ReadFile(l.path())
		if err != nil {
			return err
		}
		for n := keep - 1; n > 0; n-- {
			_ = os.Rename(l.rotated(n), l.rotated(n+1))
		}
		l.turns++
		if err := os.WriteFile(l.rotated(1), content, 0o644); err != nil {
			return err
		}
		return l.file.Truncate(0)
	})
}
