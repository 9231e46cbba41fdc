// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// outage stops the backend, while the file is rotated every five seconds.
type outage struct{}

func (outage) name() string { return "backend down, rotations meanwhile" }

func (outage) play(_ context.Context, d *day) error {
	l := d.logs
	if err := l.write(rate/10, time.Second, 0, nil); err != nil {
		return err
	}
	d.server.down()
	if err := l.write(rate/10, d.outage, 5*time.Second, l.rotate); err != nil {
		return err
	}
	if err := d.server.up(); err != nil {
		return err
	}
	return l.write(rate/10, time.Second, 0, nil)
}
