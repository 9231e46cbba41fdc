// SPDX-License-Identifier: Apache-2.0

//go:build previous

package main

import (
	"flag"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// previous is the driver of the previous release; hack/previous-state builds it.
var previous = flag.String("previous", "", "driver of the previous release")

// writeState lets the driver write what previousState describes.
func writeState(t *testing.T, e *engine, b *intake) {
	t.Helper()
	e.start()
	web := e.run(containerInfo("web", "a1"))
	for _, line := range numbered("web", 0, 50) {
		web.write(line)
	}
	require.Eventually(t, func() bool { return len(b.of("web")) == 50 }, time.Minute, 10*time.Millisecond)
	time.Sleep(3 * time.Second) // until the checkpoint is stored; the process's own clock counts
	ended, noisy := e.run(containerInfo("ended", "b1")), e.run(containerInfo("noisy", "c1"))
	for _, line := range numbered("web", 50, 100) {
		web.write(line)
	}
	for _, line := range numbered("ended", 0, 10) {
		ended.write(line)
	}
	ended.stop()
	for range 1500 {
		noisy.write(strings.Repeat("x", 1000))
	}
	noisy.write("the last")
	time.Sleep(3 * time.Second) // until the spool is on disk
	e.terminate()
}

// TestWritePreviousState writes testdata/previous-state.tar.gz.
func TestWritePreviousState(t *testing.T) {
	b := newIntake(t, 50)
	e := newIdleEngine(t, "LOGGING_OUTPUT=http", "HTTP_URL="+b.server.URL, limit)
	e.program = *previous
	writeState(t, e, b)
	archive, err := filepath.Abs(previousState)
	require.NoError(t, err)
	out, err := exec.Command("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf", archive, "-C", filepath.Join(e.dir, "state"),
		"--exclude=*.sock", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// An upgrade, and back to the previous release: no line is lost, and what that release does not understand is not destroyed.
func TestThereAndBack(t *testing.T) {
	b := newIntake(t, 50)
	e := newIdleEngine(t, "LOGGING_OUTPUT=http", "HTTP_URL="+b.server.URL, limit)
	today := e.program
	e.program = *previous
	writeState(t, e, b)

	e.program = today
	e.start()
	c := e.run(containerInfo("new", "d1"))
	c.write("new line 0")
	time.Sleep(3 * time.Second) // nothing is delivered, all is stored
	e.terminate()

	e.program = *previous
	b.allow(1 << 20)
	e.start()
	b.whole(t, "web", numbered("web", 0, 100))
	b.whole(t, "ended", numbered("ended", 0, 10))
	e.terminate()
	require.Empty(t, b.of("new"), "that release does not know the manifest of a stream that was begun since")
	require.Empty(t, badFiles(t, e.dir))

	e.program = today
	e.start()
	b.whole(t, "new", numbered("new", 0, 1))
}

// whole waits until a container's lines are all there, in any number.
func (b *intake) whole(t *testing.T, container string, want []string) {
	t.Helper()
	require.Eventually(t, func() bool {
		got := b.of(container)
		slices.Sort(got)
		return len(slices.Compact(got)) == len(want)
	}, time.Minute, 20*time.Millisecond, "%s: %v", container, b.of(container))
	t.Logf("%s: %d records for %d lines", container, len(b.of(container)), len(want))
}

// allow changes how many records it takes.
func (b *intake) allow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed = n
}
