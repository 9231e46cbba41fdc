// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// A full disk fills neither the container's pipe nor the log: capture continues, what has no room is counted, and when
// there is room again all continues by itself.
func TestFullDisk(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Down)
	p := e.CreatePlugin(t, "remora-test:latest")
	p.Set(t, append(backend.Settings(), "REMORA_SPOOL_MIN_FREE=0")...)
	if err := os.MkdirAll(p.State(), 0o755); err != nil { // the engine makes it when it enables the plugin
		t.Fatal(err)
	}
	disk(t, p.State(), "16m")
	p.Enable(t)
	t.Cleanup(func() { p.Disable(t, false) }) // before the disk goes

	since := time.Now()
	const lines = 100_000
	c := e.Run(t, p.Name, nil, "-name", "squeezed", "-lines", strconv.Itoa(lines), "-size", "300")
	c.Wait(t)
	e.Run(t, p.Name, nil, "-name", "late", "-lines", "10").Wait(t)
	said := 0
	for _, line := range p.Said(t, since) {
		if strings.Contains(line, "no space left") {
			said++
		}
	}
	if said > 10 {
		t.Errorf("the full disk was reported %d times", said)
	}

	if err := syscall.Mount("", p.State(), "", syscall.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	e.Run(t, p.Name, nil, "-name", "room", "-lines", "1000").Wait(t)
	backend.Be(t, sink.Healthy)
	log := verify.Open(backend.Path)
	log.Await(t, time.Minute, "room", "stdout", 1000)
	n, late := log.Numbers("squeezed", "stdout"), log.Numbers("late", "stdout")
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		missing := n.Missing(lines) + late.Missing(10)
		return int64(missing) == log.Gap,
			strconv.Itoa(missing) + " lines are missing, the markers count " + strconv.FormatInt(log.Gap, 10)
	})
	if log.Gap == 0 {
		t.Error("the disk was never full, so that this test has shown nothing")
	}
}

// disk mounts a file system in memory at path, until the test ends.
func disk(t *testing.T, path, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mounting a small disk at %s: %v", path, err)
	}
	t.Cleanup(func() {
		engine.Eventually(t, 10*time.Second, func() (bool, string) {
			err := syscall.Unmount(path, 0)
			gone := err == nil || errors.Is(err, syscall.EINVAL) // the engine unmounts it as well when it stops the plugin
			return gone, fmt.Sprint("unmounting the small disk: ", err)
		})
	})
}
