// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// An engine that stops takes plugin and containers with it; what they wrote before is delivered when it is back.
func TestEngineStopsAndStarts(t *testing.T) {
	e := engine.NewPrivate(t)
	p := e.NewPlugin(t)
	const lines = 50_000
	// Without mode=blocking the engine puts a ring of 1 MB before its cache, which drops lines where the container writes
	// faster than the cache is written (moby daemon/logger/loggerutils/cache/local_cache.go): the last may never show.
	c := e.Run(t, p.Name, []string{"--log-opt", "mode=blocking"},
		"-name", "before", "-lines", strconv.Itoa(lines), "-size", "200", "-hold")
	engine.Eventually(t, 30*time.Second, func() (bool, string) {
		out := e.Docker(t, "logs", "--tail", "1", c.ID)
		return len(out) > 0 && out[:len("before 49999")] == "before 49999", "the container is still writing: " + out
	})
	e.Stop(t)
	e.Start(t)
	follow(p, defaultTarget).Await(t, time.Minute, "before", "stdout", lines)

	again := e.Run(t, p.Name, nil, "-name", "after", "-lines", "1000")
	again.Wait(t)
	follow(p, defaultTarget).ExactlyOnce(t, 30*time.Second, "after", "stdout", 1000)
}

// With live-restore containers keep running while the engine is away, and the engine hands their FIFOs over once more.
//
// What dockerd has read from a container and not yet written to its log driver when it ends is lost with any driver, so
// that a few lines around the restart may be missing: no more than the buffer of 16 KiB that it reads into, and what
// json-file would have lost as well.
func TestEngineRestartsUnderLiveRestore(t *testing.T) {
	e := engine.NewPrivate(t, "--live-restore")
	p := e.NewPlugin(t)
	const lines, size = 30_000, 100
	c := e.Run(t, p.Name, nil, "-name", "alive", "-lines", strconv.Itoa(lines), "-rate", "3000", "-size", strconv.Itoa(size))
	time.Sleep(2 * time.Second)
	e.Stop(t)
	time.Sleep(3 * time.Second)
	e.Start(t, "--live-restore")
	c.Wait(t)
	log := follow(p, defaultTarget)
	n := log.Numbers("alive", "stdout")
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		return n.Has(lines - 1), "the last line has not arrived; missing: " + n.Holes(lines)
	})
	if lost := n.Missing(lines); lost > 16<<10/size {
		t.Errorf("%d lines are missing: %s", lost, n.Holes(lines))
	} else {
		t.Logf("%d lines were lost in dockerd's own buffer", lost)
	}
}
