// SPDX-License-Identifier: Apache-2.0

//go:build bench

package driver

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// TestTwoHundredContainers prints what a node's ordinary day costs: processor time and memory of the plugin, and how long
// a line takes from its stamp to the backend. The engine's side is played by the test, because two hundred containers and
// an engine that frames their lines take more than a small machine has.
func TestTwoHundredContainers(t *testing.T) {
	const containers, rate, during = 200, 500, 30 * time.Second
	e := engine.New(t)
	ages := new(ages)
	server := httptest.NewServer(ages)
	defer server.Close()
	p := e.NewPlugin(t, "LOGGING_OUTPUT=http", "HTTP_URL="+server.URL, "HTTP_COMPRESSION=none")
	wire := engine.NewWire(t, p)
	var all []*engine.Stream
	for i := range containers {
		all = append(all, wire.Start(t, fmt.Sprintf("%064x", i+1), nil))
	}
	quit := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { write(t, all, time.Second/rate, quit) })
	time.Sleep(3 * time.Second) // what beginning costs is not asked
	ages.reset()
	began, before, memory := time.Now(), p.CPU(t), int64(0)
	for time.Since(began) < during {
		time.Sleep(500 * time.Millisecond)
		memory = max(memory, p.Memory(t))
	}
	cores := (p.CPU(t) - before).Seconds() / time.Since(began).Seconds()
	lines, at := ages.quantiles(0.5, 0.99, 0.999)
	perSecond := float64(lines) / time.Since(began).Seconds()
	close(quit)
	writing.Wait()
	fmt.Printf("%d containers, %.0f lines/s in all: %.2f core, %d MiB; from line to backend %v in the median, %v at p99, %v at p99.9\n",
		containers, perSecond, cores, memory>>20, at[0], at[1], at[2])
	if memory > 64<<20 {
		t.Errorf("the plugin held %d MiB", memory>>20)
	}
	if perSecond < 0.95*containers*rate {
		t.Errorf("only %.0f lines/s: the machine could not write as many as were to be measured", perSecond)
	}
	for _, s := range all {
		s.Stop(t)
	}
}

// write writes one line to each stream every interval, catching up where it is late.
func write(t *testing.T, all []*engine.Stream, interval time.Duration, quit <-chan struct{}) {
	line := bytes.Repeat([]byte("x"), size)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for began, turns := time.Now(), 0; ; {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		for ; turns < int(time.Since(began)/interval); turns++ {
			for _, s := range all {
				if err := s.Write(line); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}
}

// ages is a backend that notes how old each record is when it comes, in milliseconds.
type ages struct {
	mu    sync.Mutex
	count [60_000]int
	odd   int // records without a time, and older ones
}

func (a *ages) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	const prefix = `{"@timestamp":"`
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for lines.Scan() {
		rest, _ := strings.CutPrefix(lines.Text(), prefix)
		stamp, _, _ := strings.Cut(rest, `"`)
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if ms := max(now.Sub(at).Milliseconds(), 0); err == nil && ms < int64(len(a.count)) {
			a.count[ms]++
		} else {
			a.odd++
		}
	}
}

func (a *ages) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count, a.odd = [60_000]int{}, 0
}

// quantiles returns how many records came and what the given parts of them were no older than; odd ones count as oldest.
func (a *ages) quantiles(parts ...float64) (total int, at []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	total = a.odd
	for _, n := range a.count {
		total += n
	}
	for _, part := range parts {
		ms, sum := 0, 0
		for ; ms < len(a.count) && float64(sum) < part*float64(total); ms++ {
			sum += a.count[ms]
		}
		at = append(at, time.Duration(ms)*time.Millisecond)
	}
	return total, at
}
