// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// scenario is what happens to a collector while an application writes.
type scenario interface {
	name() string
	// play writes all lines, and does to the collector what the scenario is about. It returns after the last line.
	play(ctx context.Context, d *day) error
}

// scenarios are all scenarios, in the order of the report. Each has its own file.
var scenarios = []scenario{
	rotation{}, copytruncate{}, compression{}, inode{}, kills{}, outage{},
	misbehaviour{"429 for 10 s", busy}, misbehaviour{"every second record refused for 10 s", half}, misbehaviour{"no answer for 10 s", mute},
	forbidden{}, longLines{}, fullDisk{}, removal{},
}

// day is one scenario for one collector.
type day struct {
	server    *server
	logs      *logs
	collector *process
	place     *place
	outage    time.Duration // of the backend, and of the disk
}

const rate = 20_000 // lines per second
