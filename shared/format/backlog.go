// SPDX-License-Identifier: Apache-2.0

package format

import (
	"time"

	"github.com/remora-logs/remora/shared/cputime"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// maxGrowth is how many bytes one call of Apply adds to a batch, give or take the last record: a filter makes a record
	// of a MiB out of each of thousands of empty lines in one read.
	maxGrowth = 1 << 20
	// maxTurn is how much CPU time one call takes where declared expressions run, give or take the last record.
	maxTurn = 10 * time.Millisecond
)

// turn is what one call of Apply may use up.
type turn struct {
	size  int // of the batch
	watch cputime.Watch
	check time.Time // when, at the earliest, maxTurn is used up; zero where time does not matter
}

func (c *Chain) newTurn(b *record.Batch) turn {
	t := turn{size: b.Size() + maxGrowth, watch: cputime.Start()}
	if c.slow {
		t.check = time.Now().Add(maxTurn)
	}
	return t
}

// over is asked for each record, so that it looks at the wall clock first, which costs less than that of the thread.
func (t *turn) over(b *record.Batch) bool {
	if b.Size() > t.size {
		return true
	}
	if t.check.IsZero() {
		return false
	}
	now := time.Now()
	if now.Before(t.check) {
		return false
	}
	left := maxTurn - t.watch.Spent()
	t.check = now.Add(left)
	return left <= 0
}

// backlog is records that a call of Apply had no room or no time for. Nothing more is read while there are any, so that
// it holds what one read brought.
type backlog struct {
	records []record.Record // in memory of their own
	at      int             // of the first that is left
	low     int64           // the least offset of those that are left
	last    bool            // nothing follows
}

// Pending reports whether there are records for which Apply had no room or no time.
func (c *Chain) Pending() bool { return c.backlog.at < len(c.backlog.records) }

// postpone moves the records of b from index from on to the backlog.
func (c *Chain) postpone(b *record.Batch, from int) {
	size := 0
	for i := range b.Records[from:] {
		r := &b.Records[from+i]
		size += len(r.Line) + len(r.Fields)
	}
	memory := make([]byte, 0, size)
	hold := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		at := len(memory)
		memory = append(memory, p...)
		return memory[at:len(memory):len(memory)]
	}
	for _, r := range b.Records[from:] {
		r.Line, r.Fields = hold(r.Line), hold(r.Fields)
		c.backlog.records = append(c.backlog.records, r)
	}
	clear(b.Records[from:])
	b.Records = b.Records[:from]
	c.backlog.measure()
}

// catchUp takes records of the backlog until the turn is over, at least one.
func (c *Chain) catchUp(b *record.Batch, now int64, t *turn) {
	q := &c.backlog
	for first := q.at; q.at < len(q.records) && (q.at == first || !t.over(b)); q.at++ {
		r := q.records[q.at]
		q.records[q.at] = record.Record{}
		if r.Line != nil {
			r.Line = b.Hold(r.Line)
		}
		if r.Fields != nil {
			r.Fields = b.Hold(r.Fields)
		}
		c.take(b, &r, now)
	}
	if q.at == len(q.records) {
		q.records, q.at = nil, 0
	}
	q.measure()
}

// measure finds the least offset: pieces of long messages make records complete in another order than they begin in.
func (q *backlog) measure() {
	q.low = -1
	for _, r := range q.records[q.at:] {
		if q.low < 0 || r.Offset < q.low {
			q.low = r.Offset
		}
	}
}
