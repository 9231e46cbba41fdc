// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// How long docker takes to end a container that is writing, with the backend in each state, against json-file.
func TestStoppingContainersIsNotHeldUp(t *testing.T) {
	e := engine.New(t)
	commands := [][]string{{"stop"}, {"kill"}, {"rm", "--force"}}
	usual := make([]time.Duration, len(commands))
	for i, command := range commands {
		usual[i] = writing(t, e, "json-file").Timed(t, command...)
	}
	check := func(t *testing.T, p *engine.Plugin, longer time.Duration) {
		for i, command := range commands {
			took := writing(t, e, p.Name).Timed(t, command...)
			t.Logf("docker %s: %v, with json-file %v", command[0], took.Round(time.Millisecond), usual[i].Round(time.Millisecond))
			if took > usual[i]+longer {
				t.Errorf("docker %s took %v, %v with json-file", command[0], took, usual[i])
			}
		}
	}
	t.Run("kafka down", func(t *testing.T) {
		check(t, e.NewPlugin(t, "LOGGING_OUTPUT=kafka", "KAFKA_BROKERS=127.0.0.1:1"), 2*time.Second)
	})
	for _, mood := range []sink.Mood{sink.Down, sink.Silent, sink.Dripping, sink.Resetting} {
		t.Run(mood.String(), func(t *testing.T) {
			check(t, e.NewPlugin(t, sink.New(t, mood).Settings()...), time.Second)
		})
	}
}

// writing starts a container that writes as fast as it can, and gives it a moment to fill what can be filled.
func writing(t *testing.T, e *engine.Engine, driver string) *engine.Container {
	t.Helper()
	c := e.Run(t, driver, nil, "-lines", "-1", "-size", "200")
	time.Sleep(time.Second)
	return c
}

// A backend that comes up late gets all that was written before, and the plugin and its containers never noticed.
func TestBackendComesUpLate(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Down)
	p := e.NewPlugin(t, backend.Settings()...)
	const lines = 20_000
	e.Run(t, p.Name, nil, "-name", "early", "-lines", strconv.Itoa(lines), "-size", "100").Wait(t)
	backend.Be(t, sink.Healthy)
	verify.Open(backend.Path).ExactlyOnce(t, time.Minute, "early", "stdout", lines)
}

// Whatever the backend does to the plugin, when it has recovered all is there.
func TestBackendRecovers(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Healthy)
	p := e.NewPlugin(t, backend.Settings()...)
	const lines = 40_000
	c := e.Run(t, p.Name, nil, "-name", "weather", "-lines", strconv.Itoa(lines), "-rate", "5000")
	for _, mood := range []sink.Mood{sink.Resetting, sink.Down, sink.Dripping, sink.Silent} {
		time.Sleep(2 * time.Second)
		backend.Be(t, mood)
	}
	time.Sleep(time.Second)
	backend.Be(t, sink.Healthy)
	c.Wait(t)
	n := verify.Open(backend.Path).Await(t, 2*time.Minute, "weather", "stdout", lines)
	if n.Disorder != 0 {
		t.Errorf("%d lines came for the first time after a later one", n.Disorder)
	}
}

// Over budget the oldest lines go, and gap markers tell of each of them.
func TestBudgetExceeded(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Down)
	p := e.NewPlugin(t, append(backend.Settings(), "REMORA_SPOOL_MAX_BYTES=16777216",
		"REMORA_SPOOL_MAX_BYTES_PER_CONTAINER=8388608")...)
	const lines = 100_000
	e.Run(t, p.Name, nil, "-name", "full", "-lines", strconv.Itoa(lines), "-size", "300").Wait(t)
	backend.Be(t, sink.Healthy)
	addsUp(t, verify.Open(backend.Path), "full", lines, 2*time.Minute)
}

// addsUp waits until what has arrived and what the gap markers count is all that was written, and checks that something
// was dropped and that the newest lines are there.
func addsUp(t *testing.T, log *verify.Log, name string, lines int, limit time.Duration) {
	t.Helper()
	n := log.Numbers(name, "stdout")
	engine.Eventually(t, limit, func() (bool, string) {
		log.Read(t)
		missing := n.Missing(lines)
		return int64(missing) == log.Gap && n.Has(lines-1),
			fmt.Sprintf("%d lines are missing (%s), the markers count %d", missing, n.Holes(lines), log.Gap)
	})
	if log.Gap == 0 {
		t.Error("nothing was dropped, so that this test has shown nothing")
	}
	if n.Disorder != 0 {
		t.Errorf("%d lines came for the first time after a later one", n.Disorder)
	}
	t.Logf("%d of %d lines arrived, %d dropped", n.Distinct, lines, log.Gap)
}
