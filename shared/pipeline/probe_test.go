// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// A destination accepts records again within a batch, as one does that answers for each record: the stream's later
// records must not come before its earlier ones.
func TestADestinationThatOpensWithinABatchGetsRecordsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config)
		defer b.stop()
		opens, open := time.Now().Add(10*time.Second), false
		var sent atomic.Int64
		b.out.say(func(_ context.Context, batch *record.Batch) error {
			p := &output.Partial{Cause: errors.New("403")}
			for i := range batch.Records {
				if batch.Records[i].Source.Stream != "evil" {
					continue
				}
				sent.Add(1)
				open = open || time.Now().After(opens) && i >= len(batch.Records)/2
				if !open {
					p.Blocked = append(p.Blocked, output.Blockage{Index: i, Destination: "index evil", Reason: "403"})
				}
			}
			if len(p.Blocked) == 0 {
				return nil
			}
			return p
		})
		evil := &memory{key: "evil"}
		f, _ := b.attach(evil)
		evil.write(numbered(0, 500))
		time.Sleep(9 * time.Second)
		require.Less(t, sent.Load(), int64(500+10), "what is not accepted is not sent in vain at each attempt")
		time.Sleep(5 * time.Minute)
		require.Equal(t, split(numbered(0, 500)), b.out.got())
		s := f.Status(time.Now())
		require.EqualValues(t, 500, s.SentRecords)
		require.Zero(t, s.QueuedRecords)
	})
}
