// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

// A shard whose output is down answers nothing, and is offered the beginning of each new stream. What was withdrawn does not stay.
func TestOffersThatNobodyAnswersDoNotGather(t *testing.T) {
	s := newOffers()
	for range 1000 {
		o := &offer{lease: newLease(record.NewBatch(1))}
		s.put(o)
		o.withdraw()
	}
	require.Len(t, s.all, 1)
}
