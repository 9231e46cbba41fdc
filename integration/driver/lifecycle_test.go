// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// The engine counts who uses a plugin; a count that leaks makes it refuse to disable it. NewPlugin's end disables
// without force, in every test; here a crash and containers of every fate have come before.
func TestNoReferenceLeaks(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	short := e.Run(t, p.Name, nil, "-lines", "10")
	long := e.Run(t, p.Name, nil, "-lines", "-1", "-rate", "100")
	if out, err := p.Try("plugin", "disable", p.Name); err == nil {
		t.Errorf("the engine let go of a plugin in use: %s", out)
	}
	p.Kill(t)
	short.Wait(t)
	e.Docker(t, "kill", long.ID)
	e.Docker(t, "logs", short.ID) // StartLogging and StopLogging once more
	e.Docker(t, "rm", short.ID, long.ID)
	p.Disable(t, false)
}

func TestDisabledByForce(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	disabledFor(t, e, p, 20_000, 5*time.Second)
}

// disabledFor lets containers write while the plugin is disabled, and lose nothing: either the plugin is back within the ten
// seconds for which the engine waits for the log of a container that has ended, or the lines fill what is between the two and
// hold the container up until then: the FIFO, 1 MiB, and the engine's buffer, 1 MB (moby pkg/ioutils/bytespipe.go).
func disabledFor(t *testing.T, e *engine.Engine, p *engine.Plugin, lines int, pause time.Duration) {
	const containers = 3
	var all []*engine.Container
	for i := range containers {
		all = append(all, e.Run(t, p.Name, nil, "-name", "c"+strconv.Itoa(i), "-lines", strconv.Itoa(lines), "-rate", "5000"))
	}
	time.Sleep(time.Second)
	p.Disable(t, true)
	time.Sleep(pause)
	p.Enable(t)
	log := follow(p, defaultTarget)
	for i, c := range all {
		c.Wait(t)
		log.Await(t, time.Minute, "c"+strconv.Itoa(i), "stdout", lines)
	}
}

// Containers come and go quickly; each one's only line arrives, and no trace of them is left.
func TestShortLivedContainers(t *testing.T) { shortLived(t, 40) }

func shortLived(t *testing.T, containers int) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	image := e.Generator(t)
	var wait sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wait.Go(func() {
			for i := range next {
				if _, err := e.Try("run", "--rm", "--network", "none", "--log-driver", p.Name, image,
					"-text", "echo "+strconv.Itoa(i)+`\n`); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range containers {
		next <- i
	}
	close(next)
	wait.Wait()
	// Four of them run at a time, so that their order means nothing.
	if n := follow(p, defaultTarget).Await(t, time.Minute, "echo", "stdout", containers); n.Twice != 0 {
		t.Errorf("%d lines came twice", n.Twice)
	}

	engine.Eventually(t, 20*time.Second, func() (bool, string) {
		left := spooled(t, p)
		return len(left) == 0, "the state directory still holds " + strings.Join(left, ", ")
	})
}

// Frames that are none, written into a container's FIFO by someone else, cost that container's neighbours nothing, and
// itself no more than the bytes that make no sense.
func TestGarbageInTheFIFO(t *testing.T) {
	valid := []byte("\x0a\x06stdout\x10\x01\x1a\x05stray") // LogEntry{source: stdout, time_nano: 1, line: stray}
	huge := binary.BigEndian.AppendUint32(nil, 0xffffffff)
	nonsense := append(binary.BigEndian.AppendUint32(nil, 40), strings.Repeat("\xff", 40)...)
	truncated := append(binary.BigEndian.AppendUint32(nil, uint32(len(valid)+50)), valid...)
	for name, garbage := range map[string][]byte{
		"a length of 4 GiB": huge, "no protobuf": nonsense, "a frame cut short": truncated,
	} {
		t.Run(name, func(t *testing.T) {
			e := engine.New(t)
			p := e.NewPlugin(t)
			since := time.Now()
			hurt := e.Run(t, p.Name, nil, "-name", "hurt", "-lines", "400", "-rate", "100")
			fifos := p.FIFOs(t)
			if len(fifos) != 1 {
				t.Fatalf("one container has %d FIFOs", len(fifos))
			}
			well := e.Run(t, p.Name, nil, "-name", "well", "-lines", "400", "-rate", "100")
			time.Sleep(time.Second)
			fifo, err := os.OpenFile(p.Inside(t, fifos[0]), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fifo.Write(garbage); err != nil {
				t.Fatal(err)
			}
			fifo.Close()
			hurt.Wait(t)
			well.Wait(t)
			log := follow(p, defaultTarget)
			log.Await(t, 20*time.Second, "well", "stdout", 400)
			n := log.Numbers("hurt", "stdout")
			engine.Eventually(t, 20*time.Second, func() (bool, string) {
				log.Read(t)
				return n.Has(399), "the lines after the garbage have not arrived"
			})
			if lost := n.Missing(400); lost > 3 {
				t.Errorf("%d lines of the container are missing: %s", lost, n.Holes(400))
			}
			engine.Eventually(t, 20*time.Second, func() (bool, string) {
				said := strings.Join(p.Said(t, since), "\n")
				return strings.Contains(said, hurt.ID[:12]) && strings.Contains(said, "skip"), "nothing was said about it: " + said
			})
		})
	}
}

// spooled names the files of streams that the plugin still keeps.
func spooled(t *testing.T, p *engine.Plugin) []string {
	t.Helper()
	var left []string
	err := filepath.WalkDir(filepath.Join(p.State(), "streams"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			left = append(left, path)
		}
		if errors.Is(err, fs.ErrNotExist) { // removed under our eyes
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}
