// SPDX-License-Identifier: Apache-2.0

//go:build soak

// Package soak lets containers come and go for a while, through all ways in, with three outputs of which one is ill, and
// compares what the processes have and keep in the end with what it was after the first minutes.
package soak

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

const (
	// lines of each container, written over life.
	lines = 1000
	life  = 4 * time.Second
	// atOnce bounds how many containers there are at a time.
	atOnce = 24
	// arrival is how long the last lines may take, once all backends are well.
	arrival = 3 * time.Minute
	// settled is how long the processes may take to let go of what the last container had.
	settled = time.Minute
)

// plan is how long containers come and go (SOAK_TIME), and how many they are (SOAK_CONTAINERS).
func plan(t *testing.T) (duration time.Duration, containers int) {
	t.Helper()
	duration, containers = 3*time.Minute, 500
	var err error
	if s := os.Getenv("SOAK_TIME"); s != "" {
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SOAK_TIME: %v", err)
		}
	}
	if s := os.Getenv("SOAK_CONTAINERS"); s != "" {
		if containers, err = strconv.Atoi(s); err != nil || containers < 8 {
			t.Fatalf("SOAK_CONTAINERS is %q, not a number of at least 8", s)
		}
	}
	return duration, containers
}

// After a quarter of the containers everything is measured, and again at the end.
func TestItStaysSo(t *testing.T) {
	duration, containers := plan(t)
	b := newBackends(t)
	w := newWays(t, b)
	b.beIll(t)
	first := containers / 4
	w.let(t, 0, first, duration/4)
	b.recover(t)
	b.haveAll(t, w.names[:first])
	before := w.settle(t, nil)
	b.beIll(t)
	w.let(t, first, containers, duration-duration/4)
	b.recover(t)
	b.haveAll(t, w.names)
	w.settle(t, before)
}

// backends are two that are well and one that is ill most of the time.
type backends struct {
	sinks [3]*sink.Sink
	logs  [3]*verify.Log
	well  chan chan struct{} // closed by the one who was told that it is well
}

func newBackends(t *testing.T) *backends {
	b := &backends{}
	for i := range b.sinks {
		b.sinks[i] = sink.New(t, sink.Healthy)
		b.logs[i] = verify.Open(b.sinks[i].Path)
	}
	return b
}

// config is a file for REMORA_CONFIG.
func (b *backends) config() string {
	text := "outputs:\n"
	for i, s := range b.sinks {
		text += fmt.Sprintf("  backend%d: {kind: http, HTTP_URL: %q, HTTP_COMPRESSION: none}\n", i, s.URL())
	}
	return text
}

const outputs = "LOGGING_OUTPUT=backend0,backend1,backend2"

// beIll makes the last backend down, silent, dripping, resetting, and well in between, until recover.
func (b *backends) beIll(t *testing.T) {
	b.well = make(chan chan struct{})
	go func(well chan chan struct{}) {
		for n := 0; ; n++ {
			mood := [...]sink.Mood{sink.Down, sink.Healthy, sink.Silent, sink.Healthy, sink.Dripping, sink.Healthy, sink.Resetting, sink.Healthy}[n%8]
			b.sinks[2].Be(t, mood)
			select {
			case <-time.After(7 * time.Second):
			case done := <-well:
				b.sinks[2].Be(t, sink.Healthy)
				close(done)
				return
			}
		}
	}(b.well)
}

func (b *backends) recover(*testing.T) {
	done := make(chan struct{})
	b.well <- done
	<-done
}

// haveAll waits until each backend has each line of each container.
func (b *backends) haveAll(t *testing.T, names []name) {
	t.Helper()
	for i, log := range b.logs {
		engine.Eventually(t, arrival, func() (bool, string) {
			log.Read(t)
			incomplete, example := 0, ""
			for _, n := range names {
				if missing := log.Numbers(n.name, n.stream).Missing(lines); missing > 0 {
					incomplete++
					example = fmt.Sprintf("%d of %s: %s", missing, n.name, log.Numbers(n.name, n.stream).Holes(lines))
				}
			}
			return incomplete == 0, fmt.Sprintf("backend %d lacks lines of %d of %d containers, such as %s", i, incomplete, len(names), example)
		})
		twice := 0
		for _, n := range names {
			twice += log.Numbers(n.name, n.stream).Twice
		}
		t.Logf("backend %d has all lines of %d containers, %d twice", i, len(names), twice)
		if log.Gap != 0 {
			t.Errorf("backend %d was told of %d lost records", i, log.Gap)
		}
	}
}

// let has containers first to last come and go, in turn by each way, evenly over a time.
func (w *ways) let(t *testing.T, first, last int, over time.Duration) {
	t.Helper()
	began := time.Now()
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	var failed atomic.Int32
	for i := first; i < last; i++ {
		time.Sleep(time.Until(began.Add(over * time.Duration(i-first) / time.Duration(last-first))))
		n, run := w.next(i)
		w.names = append(w.names, n)
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := run(n.name); err != nil {
				failed.Add(1)
				t.Errorf("container %s: %v", n.name, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d containers came and went in %v", last-first, time.Since(began).Round(time.Second))
	if failed.Load() > 0 {
		t.FailNow()
	}
}
