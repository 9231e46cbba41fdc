// SPDX-License-Identifier: Apache-2.0

// Package loop tells whether a loop of this process still turns.
package loop

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Watch is when a loop turned last. Its zero value is of a loop that does not run. Its methods are safe for concurrent use.
type Watch struct {
	turned atomic.Int64 // ns since 1970; 0 while nothing is expected of the loop
}

// Turn says that the loop begins a turn, or has made progress within one.
func (w *Watch) Turn(now time.Time) { w.turned.Store(now.UnixNano()) }

// Wait says that the loop has ended, or waits for what this process has no power over, a file system for one. It is not late
// until it has turned again. ran is false if nothing was expected of it before.
func (w *Watch) Wait() (ran bool) { return w.turned.Swap(0) != 0 }

// Late is how long ago the loop turned last; 0 while nothing is expected of it.
func (w *Watch) Late(now time.Time) time.Duration {
	turned := w.turned.Load()
	if turned == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, turned))
}

// StalledAfter is after how long a loop that has not turned makes /healthz fail. Nothing that somebody else does, or does not
// do, holds a loop up for so long.
const StalledAfter = time.Minute

// Named is a loop of this process without which nothing is collected or delivered.
type Named struct {
	Name string
	Late func(now time.Time) time.Duration
}

// Stalled says which is the first of the loops that has not turned for too long; it is empty if all turn.
func Stalled(now time.Time, loops ...Named) string {
	for _, l := range loops {
		if late := l.Late(now); late > StalledAfter {
			return fmt.Sprintf("the loop %s has not turned for %v", l.Name, late.Round(time.Second))
		}
	}
	return ""
}
