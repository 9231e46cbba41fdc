// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// misbehaviour is a backend that is reachable but does not accept what it is sent for ten seconds.
type misbehaviour struct {
	what string
	mood mood
}

func (t misbehaviour) name() string { return "backend: " + t.what }

func (t misbehaviour) play(_ context.Context, d *day) error {
	if err := d.logs.write(rate/10, time.Second, 0, nil); err != nil {
		return err
	}
	d.server.feel(t.mood)
	if err := d.logs.write(rate/10, 10*time.Second, 0, nil); err != nil {
		return err
	}
	d.server.feel(healthy)
	return d.logs.write(rate/10, time.Second, 0, nil)
}
