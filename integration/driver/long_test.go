// SPDX-License-Identifier: Apache-2.0

//go:build long

package driver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/sink"
)

func TestLongDisabledByForce(t *testing.T) {
	e := engine.New(t)
	disabledFor(t, e, e.NewPlugin(t), 200_000, 30*time.Second)
}

func TestLongShortLivedContainers(t *testing.T) { shortLived(t, 2000) }

// Sixty kills at moments that the test does not choose, each as soon as the engine counts the last one as survived.
func TestLongSixtyKills(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	const lines, containers = 600_000, 3
	var all []*engine.Container
	for i := range containers {
		all = append(all, e.Run(t, p.Name, nil, "-name", "c"+strconv.Itoa(i), "-lines", strconv.Itoa(lines), "-rate", "1500",
			"-size", "150"))
	}
	for i := range 60 {
		time.Sleep(2*time.Second + time.Duration(i*7919%4000)*time.Millisecond)
		p.Kill(t)
	}
	log := follow(p, defaultTarget)
	for i, c := range all {
		c.Wait(t)
		name := "c" + strconv.Itoa(i)
		n := log.Await(t, 2*time.Minute, name, "stdout", lines)
		t.Logf("%s: %d of %d lines came twice", name, n.Twice, lines)
	}
}

// A container writes as quickly with a backend that is ill as with one that is well: capture does not know of backends.
func TestLongWriteSpeedDoesNotDependOnTheBackend(t *testing.T) {
	e := engine.New(t)
	backend := sink.New(t, sink.Healthy)
	p := e.NewPlugin(t, backend.Settings()...)
	moods := []sink.Mood{sink.Healthy, sink.Down, sink.Silent, sink.Dripping, sink.Resetting}
	took := make(map[sink.Mood][]time.Duration)
	for range 5 {
		for _, mood := range moods { // in turn, so that what else the machine does hits all alike
			backend.Be(t, sink.Healthy)
			empty(t, p) // what the one before left is not to be delivered in this one's time
			backend.Be(t, mood)
			took[mood] = append(took[mood], write(t, e, p))
		}
	}
	usual := median(took[sink.Healthy])
	for _, mood := range moods {
		m := median(took[mood])
		t.Logf("%-10s %v for 500,000 lines, %+.0f %%", mood, m.Round(time.Millisecond), 100*(m.Seconds()/usual.Seconds()-1))
		if m > usual+usual/10 {
			t.Errorf("with a backend that is %s it takes %v, with a healthy one %v", mood, m, usual)
		}
	}
}

// empty waits until all that ended containers wrote is delivered.
func empty(t *testing.T, p *engine.Plugin) {
	t.Helper()
	engine.Eventually(t, time.Minute, func() (bool, string) {
		left := spooled(t, p)
		return len(left) == 0, fmt.Sprintf("still spooled: %v", left)
	})
}

// write has a container write 500,000 lines as quickly as it can, and returns how long its writing took.
func write(t *testing.T, e *engine.Engine, p *engine.Plugin) time.Duration {
	t.Helper()
	c := e.Run(t, p.Name, []string{"--log-opt", "cache-max-size=1m"}, "-lines", "500000", "-size", "190", "-timing")
	c.Wait(t)
	logs := e.Command("logs", c.ID)
	var said strings.Builder // of standard error: lines of standard output may come behind it, for the engine copies both
	logs.Stderr = &said
	err := logs.Run()
	ns, ok := strings.CutPrefix(strings.TrimSpace(said.String()), "took ")
	n, bad := strconv.ParseInt(ns, 10, 64)
	if err != nil || !ok || bad != nil {
		t.Fatalf("the container did not tell how long it took: %v: %.200s", err, said.String())
	}
	return time.Duration(n)
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// Two hundred containers and a backend that takes nothing cost memory for what is in hand, not for what waits.
func TestLongMemoryWithTwoHundredContainers(t *testing.T) {
	const limit = 64 << 20
	e := engine.New(t)
	backend := sink.New(t, sink.Healthy)
	p := e.NewPlugin(t, backend.Settings()...)
	for i := range 200 {
		e.Run(t, p.Name, nil, "-name", "c"+strconv.Itoa(i), "-lines", "-1", "-rate", "50", "-size", "200")
	}
	for _, mood := range []sink.Mood{sink.Healthy, sink.Down, sink.Silent, sink.Dripping, sink.Resetting} {
		backend.Be(t, mood)
		var highest int64
		for range 50 {
			time.Sleep(200 * time.Millisecond)
			highest = max(highest, p.Memory(t))
		}
		t.Logf("%-10s %d MiB", mood, highest>>20)
		if highest > limit {
			t.Errorf("with a backend that is %s the plugin holds %d MiB", mood, highest>>20)
		}
	}
}

// A thousand containers' FIFOs, of which fifty are busy: what a stream costs, and what it costs to wait.
func TestLongThousandStreams(t *testing.T) {
	const streams, busy, lines = 1000, 50, 5_000
	e := engine.New(t)
	p := e.NewPlugin(t)
	wire := engine.NewWire(t, p)
	idleMemory, idleFiles := p.Memory(t), p.Descriptors(t)
	all := make([]*engine.Stream, streams)
	for i := range all {
		all[i] = wire.Start(t, fmt.Sprintf("%064x", i+1), map[string]string{"aliyun.logs.many": "stdout"})
	}
	time.Sleep(5 * time.Second)
	before := p.CPU(t)
	time.Sleep(20 * time.Second)
	idle := p.CPU(t) - before
	t.Logf("%d idle streams: %.1f KiB and %.1f descriptors each, %d threads, %.2f %% of a core", streams,
		float64(p.Memory(t)-idleMemory)/1024/streams, float64(p.Descriptors(t)-idleFiles)/streams, p.Threads(t),
		100*idle.Seconds()/20)
	if idle > 200*time.Millisecond {
		t.Errorf("idle, it used %v of processor time in 20 s: more than 1 %% of a core", idle)
	}

	began, before := time.Now(), p.CPU(t)
	var writers sync.WaitGroup
	for i := range busy {
		writers.Go(func() {
			for n := range lines {
				if err := all[i].Write(fmt.Appendf(nil, "s%d %d", i, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	log := follow(p, "many")
	for i := range busy {
		log.ExactlyOnce(t, time.Minute, "s"+strconv.Itoa(i), "stdout", lines)
	}
	t.Logf("%d busy streams: %d lines in %v, %v of processor time", busy, busy*lines, time.Since(began).Round(time.Millisecond),
		(p.CPU(t) - before).Round(time.Millisecond))
	for _, s := range all {
		s.Stop(t)
	}
}
