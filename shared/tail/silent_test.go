// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// silentRig is a rig with one file, of which a read does not return before repair is called. Steps were made since.
func silentRig(t *testing.T) (r *rig, repair func()) {
	r = newRig(t, access)
	r.write("access.log", "one\ntwo\n")
	r.start()
	r.tailer.remote = func(content) bool { return true }
	r.blocked = true
	r.look()
	read := r.feeds[0].stream.(*reader)
	m := mount{read.generation.body, &atomic.Pointer[chan struct{}]{}}
	read.generation.body = m
	down := make(chan struct{})
	m.down.Store(&down)
	n, err := read.ReadAt(make([]byte, 100), 4)
	require.NoError(t, err)
	require.Zero(t, n)
	r.tailer.patience = 20 * time.Millisecond
	for range 3 {
		r.now = r.now.Add(time.Second)
		r.tailer.step(false)
	}
	return r, func() { m.down.Store(nil); close(down) }
}

// returns requires that f returns before the file system answers.
func returns(t *testing.T, repair func(), f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it waits for a file system that does not answer")
	}
	repair()
	<-done
}

func TestTheEndWaitsForNoRead(t *testing.T) {
	r, repair := silentRig(t)
	returns(t, repair, r.tailer.Close)
}

// Where too many files are open, an origin closes those of others as well: but none that is being read.
func TestAnOriginClosesNoFileOfAnotherThatIsRead(t *testing.T) {
	r, repair := silentRig(t)
	r.tailer.Put(Origin{ID: "other", Root: find.Host(), Selections: []Selection{{Name: "all", Pattern: r.path("none/*.log"), Outputs: []string{"out"}}}})
	r.tailer.step(false)
	returns(t, repair, func() { r.tailer.closeIdle(r.tailer.origins["other"]) })
}

// An origin's step that outlives the tailer's is beside the next one. It is a test of the race detector.
func TestStepsThatOutliveTheTailersShareNothingWithTheNext(t *testing.T) {
	r := newRig(t, access).start()
	r.tailer.patience = 1
	for range 300 {
		r.tailer.step(false)
	}
	r.tailer.origins[""].step.Lock()
	r.tailer.patience = time.Hour
	r.tailer.origins[""].step.Unlock()
}
