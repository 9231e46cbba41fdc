// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"

	"github.com/remora-logs/remora/shared/record"
)

// lease owns the memory of a batch that several outputs send. Each holder that joins contributes an unused batch, and each
// that leaves takes one, so that no holder waits for the slowest, and together they use as much memory as if each had filled
// its own batch.
type lease struct {
	mu      sync.Mutex
	holders int
	batch   *record.Batch   // the shared batch
	spare   []*record.Batch // one for each holder but one
	common  *record.Common  // what outputs make of it
}

func newLease(b *record.Batch) *lease {
	return &lease{holders: 1, batch: b, common: record.NewCommon()}
}

// join adds a holder, which contributes spare, an unused batch.
func (l *lease) join(spare *record.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders++
	l.spare = append(l.spare, spare)
}

// leave removes a holder and returns a batch for it to fill. The last holder gets the shared one.
func (l *lease) leave() *record.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders--
	if l.holders == 0 {
		return l.batch
	}
	last := len(l.spare) - 1
	b := l.spare[last]
	l.spare = l.spare[:last]
	return b
}
