// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"time"
)

// removal removes the log, with all of the container's directory, right after the last line.
type removal struct{}

func (removal) name() string { return "container removed after its last line" }

func (removal) play(_ context.Context, d *day) error {
	if err := d.logs.write(rate, 2*time.Second, 0, nil); err != nil {
		return err
	}
	if err := d.logs.file.Close(); err != nil {
		return err
	}
	return os.RemoveAll(d.logs.dir)
}
