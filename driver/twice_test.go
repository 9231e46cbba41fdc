// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// The http output can't recognise a record again. After a kill it gets what was in flight twice, and no more: of one stream two
// batches at most, one that is sent and one that is filled.
func TestAKillResendsOnlyWhatWasInFlight(t *testing.T) {
	const lines, kills, inFlight, batch = 100_000, 10, 2, 2500
	var mu sync.Mutex
	taken := make([]int, lines)
	distinct, twice := 0, 0
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for in := bufio.NewScanner(r.Body); in.Scan(); {
			var record struct{ Message string }
			if err := json.Unmarshal(in.Bytes(), &record); err != nil {
				continue // of a request that a kill cut off
			}
			i, err := strconv.Atoi(strings.TrimSpace(record.Message))
			if err != nil {
				continue
			}
			if taken[i]++; taken[i] > 1 {
				twice++
			} else {
				distinct++
			}
		}
	}))
	defer backend.Close()
	e := newEngine(t, "LOGGING_OUTPUT=http", "HTTP_URL="+backend.URL, "REMORA_BATCH_RECORDS="+strconv.Itoa(batch))
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	written := make(chan error, 1)
	go func() {
		const step = lines / 200
		tick := time.NewTicker(10 * time.Millisecond) // 50,000 lines a second
		defer tick.Stop()
		for i := range lines {
			if i%step == 0 {
				<-tick.C
			}
			if _, err := c.fifo.Write(framestest.Line("%d", i)); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	come := func() int {
		mu.Lock()
		defer mu.Unlock()
		return distinct
	}
	for range kills {
		<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond) // at any moment, not only when something has just come
		e.kill()
		e.start()
	}
	require.NoError(t, <-written)
	c.stop()
	e.nothingLeft()
	require.Equal(t, lines, come())
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d kills, %d of %d lines twice", kills, twice, lines)
	require.LessOrEqual(t, twice, kills*inFlight*batch)
}
