// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// A tap is shown what the backend has taken, and nothing that it refused; without one nothing is shown.
func TestATapSeesWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		var mu sync.Mutex
		var seen []string
		b.SetTap(func(name string, records []record.Record, taken func(int) bool) {
			mu.Lock()
			defer mu.Unlock()
			for i := range records {
				if taken(i) {
					seen = append(seen, name+" "+string(records[i].Line))
				}
			}
		})
		all := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(seen)
		}
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			for i := range batch.Records {
				if string(batch.Records[i].Line) == "bad" {
					return &output.Partial{Refused: []output.Refusal{{Index: i, Reason: "no"}}}
				}
			}
			return nil
		})
		m := &memory{key: "s"}
		b.attach(m)
		m.write("one\nbad\ntwo\n")
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"test one", "test two"}, all())
		b.SetTap(nil)
		m.write("three\n")
		time.Sleep(2 * time.Second)
		require.Len(t, all(), 2)
	})
}

// What a stream has counted stays known when it ends, and the next of its container continues to count.
func TestCountsOfStreamsThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		for i := range 3 {
			m := &memory{key: "s" + string(rune('0'+i))}
			f, done := b.attach(m)
			require.Empty(t, b.Ended())
			m.write("one\ntwo\n")
			time.Sleep(2 * time.Second)
			require.EqualValues(t, 2*i, f.Status(time.Now()).Prior.SentRecords)
			m.end()
			<-done
			ended := b.Ended()
			require.Len(t, ended, 1)
			require.EqualValues(t, 2*i+2, ended[0].Counts.SentRecords)
		}
	})
}
