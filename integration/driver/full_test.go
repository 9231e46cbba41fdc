// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// With block the container waits for the backend, and no line is given up.
func TestBlockWhenFull(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Down)
	p := e.NewPlugin(t, append(backend.Settings(), "REMORA_SPOOL_MAX_BYTES=8388608",
		"REMORA_SPOOL_MAX_BYTES_PER_CONTAINER=4194304", "REMORA_WHEN_FULL=block", "REMORA_BLOCK_TIMEOUT=60s")...)
	const lines = 60_000
	c := e.Run(t, p.Name, nil, "-name", "waits", "-lines", strconv.Itoa(lines), "-size", "300")
	time.Sleep(5 * time.Second)
	if state := e.Docker(t, "inspect", "--format", "{{.State.Status}}", c.ID); state != "running" {
		t.Fatalf("the container is %s: nothing has held it up", state)
	}
	backend.Be(t, sink.Healthy)
	c.Wait(t)
	log := verify.Open(backend.Path)
	log.ExactlyOnce(t, time.Minute, "waits", "stdout", lines)
	if log.Gap != 0 {
		t.Errorf("%d lines were given up", log.Gap)
	}
}

// After the time-out even block drops, so that the container can be ended; the markers tell of what it cost.
func TestBlockedContainerCanBeKilled(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Down)
	p := e.NewPlugin(t, append(backend.Settings(), "REMORA_SPOOL_MAX_BYTES=8388608",
		"REMORA_SPOOL_MAX_BYTES_PER_CONTAINER=4194304", "REMORA_BLOCK_TIMEOUT=3s")...)
	c := e.Run(t, p.Name, []string{"--log-opt", "when-full=block"}, "-name", "held", "-lines", "-1", "-size", "300")
	time.Sleep(2 * time.Second)
	if took := c.Timed(t, "kill"); took > 8*time.Second {
		t.Errorf("docker kill took %v", took)
	}
}
