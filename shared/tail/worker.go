// SPDX-License-Identifier: Apache-2.0

package tail

import "time"

// worker runs the steps of many origins, one after the other, in one goroutine. If a step waits for its file system, a new
// goroutine takes over. The zero value has no goroutine yet.
type worker struct {
	jobs  chan func()
	done  chan struct{}
	timer *time.Timer
}

// do runs step, and reports whether it has returned within patience. A step that has not returned continues alone.
func (w *worker) do(step func(), patience time.Duration) bool {
	if w.jobs == nil {
		w.jobs, w.done = make(chan func()), make(chan struct{}, 1)
		go work(w.jobs, w.done)
	}
	if w.timer == nil {
		w.timer = time.NewTimer(patience)
	} else {
		w.timer.Reset(patience)
	}
	w.jobs <- step
	select {
	case <-w.done:
		w.timer.Stop()
		return true
	case <-w.timer.C:
		w.end()
		return false
	}
}

// end lets the goroutine end after its present step.
func (w *worker) end() {
	if w.jobs != nil {
		close(w.jobs)
		w.jobs = nil
	}
}

func work(jobs <-chan func(), done chan<- struct{}) {
	for step := range jobs {
		step()
		done <- struct{}{}
	}
}
