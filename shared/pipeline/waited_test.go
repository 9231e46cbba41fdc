// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

// distant is a stream that has something for who waits 10 ms, and else what was asked for in the turn before.
type distant struct {
	*memory
	asked bool
	turns *atomic.Int64
}

func (d *distant) ReadAt(p []byte, off int64) (int, error) {
	patience := time.Hour
	return d.ReadAtWithin(p, off, &patience)
}

func (d *distant) ReadAtWithin(p []byte, off int64, patience *time.Duration) (int, error) {
	d.turns.Add(1)
	if d.asked {
		d.asked = false
		return d.memory.ReadAt(p, off)
	}
	wait := min(*patience, 10*time.Millisecond)
	time.Sleep(wait)
	if *patience -= wait; wait < 10*time.Millisecond {
		d.asked = true
		return 0, nil
	}
	return d.memory.ReadAt(p, off)
}

// A hundred streams that have to be waited for, beside one that writes a line ten times a second.
func TestStreamsThatAreWaitedForHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, blocking)
		defer b.stop()
		var turns atomic.Int64
		var slow []*memory
		for i := range 100 {
			m := &memory{key: fmt.Sprint("slow-", i)}
			src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
			_, err := b.Attach(pipeline.Route{Stream: &distant{memory: m, turns: &turns}, Source: src, Output: "test",
				Open: pipeline.Plain(func() cut.Cutter { return cut.NewLines(src, 1<<16) })})
			require.NoError(t, err)
			slow = append(slow, m)
		}
		good := &memory{key: "good"}
		b.attach(good)
		began, written, worst := time.Now(), 0, time.Duration(0)
		for time.Since(began) < 20*time.Second {
			good.write(fmt.Sprintf("good %d\n", written))
			for i, m := range slow {
				m.write(fmt.Sprintf("slow-%d %d\n", i, written))
			}
			written++
			wrote := time.Now()
			for count(b.out.got(), "good ") < written {
				time.Sleep(10 * time.Millisecond)
			}
			worst = max(worst, time.Since(wrote))
			time.Sleep(100*time.Millisecond - time.Since(wrote)%(100*time.Millisecond))
		}
		t.Logf("the good one's lines took %v at most; %d turns of the slow ones in 20 s", worst, turns.Load())
		require.Less(t, worst, 600*time.Millisecond)
		time.Sleep(10 * time.Second)
		require.Equal(t, 101*written, len(b.out.got()))
	})
}

func count(lines []string, prefix string) (n int) {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}
