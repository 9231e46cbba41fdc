// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/verify"
)

// fickle is a backend that fails at random, and then has taken nothing. So a line comes twice only where the sidecar was
// killed before the answer for it was durable.
type fickle struct {
	t      *testing.T
	server *httptest.Server
	life   atomic.Int64 // which life of the sidecar opens connections now

	mu      sync.Mutex
	random  *rand.Rand
	writers map[string]*arrived
}

// arrived is what came of one writer's lines.
type arrived struct {
	verify.Numbers
	last []arrival // by number
	late int       // lines that came again after they had been settled
}

// arrival is when a line came last, and to which life of the sidecar that was answered. It is settled when that life has
// gone on for long enough to make the answer durable.
type arrival struct {
	at      time.Time
	life    int64
	settled bool
}

type lifeKey struct{}

func newFickle(t *testing.T, seed uint64) *fickle {
	b := &fickle{t: t, random: rand.New(rand.NewPCG(seed, 0)), writers: make(map[string]*arrived)}
	b.server = httptest.NewUnstartedServer(b)
	b.server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, lifeKey{}, b.life.Load())
	}
	b.server.Start()
	t.Cleanup(b.server.Close)
	return b
}

// ServeHTTP takes most requests. Some it refuses, some it cuts off, some it keeps waiting first.
func (b *fickle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off by a kill: nothing of it was taken
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.random.IntN(20) {
	case 0:
		http.Error(w, "not now", http.StatusServiceUnavailable)
	case 1:
		http.Error(w, "slower", http.StatusTooManyRequests)
	case 2:
		reset(w)
	case 3:
		time.Sleep(50 * time.Millisecond) // for everyone
		fallthrough
	default:
		b.take(body, r.Context().Value(lifeKey{}).(int64))
	}
}

// reset cuts the connection off without an answer.
func reset(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

// take notes the lines of a request. The caller holds mu.
func (b *fickle) take(body []byte, life int64) {
	now := time.Now()
	for line := range bytes.Lines(body) {
		var r verify.Record
		var name string
		var n int
		if err := json.Unmarshal(line, &r); err != nil {
			b.t.Errorf("%v: %.100s", err, line)
		} else if _, err := fmt.Sscanf(r.Line(), "%s %d", &name, &n); err != nil || r.Line() != numbered(name, n) {
			b.t.Errorf("%s at %d: %.200q is no line that was written", r.Source, r.Offset, r.Line())
		} else {
			b.writer(name).add(n, arrival{at: now, life: life})
		}
	}
}

// writer is what came of those lines. The caller holds mu.
func (b *fickle) writer(name string) *arrived {
	if b.writers[name] == nil {
		b.writers[name] = new(arrived)
	}
	return b.writers[name]
}

func (a *arrived) add(n int, now arrival) {
	a.Add(n)
	for n >= len(a.last) {
		a.last = append(a.last, arrival{})
	}
	if a.last[n].settled {
		a.late++
	}
	now.settled = a.last[n].settled
	a.last[n] = now
}

// killed notes that a life has ended, and settles what was answered to it more than durable before.
func (b *fickle) killed(life int64, durable time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.writers {
		for n := len(w.last) - 1; n >= 0; n-- {
			if a := &w.last[n]; a.life == life && time.Since(a.at) > durable {
				a.settled = true
			}
		}
	}
}

// missing tells what of the first want lines of each writer has not come, empty where all has.
func (b *fickle) missing(want map[string]int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all strings.Builder
	for name, lines := range want {
		if w := b.writer(name); w.Missing(lines) > 0 {
			fmt.Fprintf(&all, "%s: %d of %d lines: %s; ", name, w.Missing(lines), lines, w.Holes(lines))
		}
	}
	return all.String()
}
