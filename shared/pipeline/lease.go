// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"

	"github.com/remora-logs/remora/shared/record"
)

// lease is who has the memory of a batch that is sent to several outputs. Whoever takes part brings memory of its own in,
// and whoever is done takes some out, so that nobody waits for the slowest of them, and all together have as much memory as
// if each had filled a batch of its own.
type lease struct {
	mu      sync.Mutex
	holders int
	batch   *record.Batch   // what they share
	spare   []*record.Batch // one for each holder but one
	common  *record.Common  // what outputs make of it
}

func newLease(b *record.Batch) *lease {
	return &lease{holders: 1, batch: b, common: record.NewCommon()}
}

// join takes part. spare is unused memory.
func (l *lease) join(spare *record.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders++
	l.spare = append(l.spare, spare)
}

// leave ends a part and returns memory for another batch. The last holder gets what was shared.
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
