// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/sink"
	"github.com/remora-logs/remora/integration/verify"
)

// The http output can't recognise a record again. After a kill it gets what was in flight twice, and no more: of one container
// two batches at most, one that is sent and one that is filled. It needs no engine: the kubelet's directory tells of the container.
func resends(t *testing.T, kills, lines int) {
	const inFlight, batch, rate = 2, 2500, 50_000
	backend := sink.New(t, sink.Healthy)
	root := t.TempDir()
	dir := filepath.Join(root, "var/log/pods/shop_web-1_0123/web")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	a := &agent{state: state, said: new(said)}
	a.env = append([]string{"REMORA_STATE_DIR=" + state, "REMORA_HOST_ROOT=" + root, "REMORA_DEFAULT_COLLECT=stdout",
		"DOCKER_HOST=unix:///nowhere.sock", "REMORA_CRI_SOCKET=/nowhere.sock", "REMORA_BATCH_RECORDS=" + strconv.Itoa(batch)}, backend.Settings()...)
	a.start(t)
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			t.Logf("what the agent said:\n%.6000s", a.said)
		}
	})
	written := make(chan error, 1)
	go func() {
		const step = 10 * time.Millisecond
		var buf []byte
		for n := 0; n < lines; {
			buf = buf[:0]
			for range rate * int(step) / int(time.Second) {
				buf = fmt.Appendf(buf, "%s stdout F resent %d x\n", time.Now().UTC().Format(time.RFC3339Nano), n)
				n++
			}
			if _, err := log.Write(buf); err != nil {
				written <- err
				return
			}
			time.Sleep(step)
		}
		written <- log.Close()
	}()
	for range kills {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // at any moment
		a.kill()
		a.start(t)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	n := verify.Open(backend.Path).Await(t, time.Minute, "resent", "stdout", lines)
	t.Logf("%d kills, %d of %d lines twice", kills, n.Twice, lines)
	if n.Twice > kills*inFlight*batch {
		t.Errorf("%d lines came twice after %d kills, want at most %d batches of %d a kill", n.Twice, kills, inFlight, batch)
	}
}

func TestAKillResendsOnlyWhatWasInFlight(t *testing.T) { resends(t, 10, 100_000) }
