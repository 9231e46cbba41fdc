// SPDX-License-Identifier: Apache-2.0

package format

import (
	"math"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/cputime"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// maxGrowth bounds the bytes that one call of Apply adds to a batch, apart from the last record: a filter may make a
	// record of a MiB out of each of thousands of empty lines in one read.
	maxGrowth = 1 << 20
	// maxTurn bounds the CPU time of one call if declared expressions run, apart from the last record.
	maxTurn = 10 * time.Millisecond
	// watchFrom is the time of a call from which the next one is measured by the thread's clock. Reading that clock is a
	// system call, which costs more than a record does in most chains.
	watchFrom = time.Millisecond
	// manyRecords is the number of records from which the time is measured even in a chain without expressions.
	manyRecords = 64
	// perRecord and perByte approximate the cost of a few records if no expressions run.
	perRecord, perByte = 500 * time.Nanosecond, 2 * time.Nanosecond
	// bookFrom is how much of that cost is booked at once.
	bookFrom = 20 * time.Microsecond
)

// turn bounds the current call of Apply. beginTurn sets its fields.
type turn struct {
	size    int // of the batch at which the turn ends
	begin   time.Time
	timed   bool // begin is set
	watched bool // watch is set
	watch   cputime.Watch
	check   time.Time     // the earliest time at which maxTurn is used up
	guessed time.Duration // time that is not booked yet
}

// beginTurn begins a turn for the records of b from index from on.
func (c *Chain) beginTurn(b *record.Batch, from int) {
	c.turn.size = b.Size() + maxGrowth
	n := len(b.Records) - from
	if c.turn.timed = c.slow || c.costly || n >= manyRecords; c.turn.timed {
		c.watchTurn()
	} else if n > 0 {
		c.turn.guessed += time.Duration(n) * (perRecord + time.Duration(len(b.Records[from].Line))*perByte)
	}
}

func (c *Chain) watchTurn() {
	t := &c.turn
	if t.watched = c.costly; t.watched {
		t.watch = cputime.Start()
	}
	t.begin = time.Now()
	t.check = t.begin.Add(maxTurn)
}

// over reports whether the turn is over. It is called for each record, so it first reads the wall clock, which is cheaper than
// the thread's.
func (c *Chain) over(b *record.Batch) bool {
	t := &c.turn
	if b.Size() > t.size {
		return true
	}
	if !c.slow {
		return false
	}
	now := time.Now()
	if now.Before(t.check) {
		return false
	}
	if !t.watched {
		return true
	}
	left := maxTurn - t.watch.Spent()
	t.check = now.Add(left)
	return left <= 0
}

// endTurn books the time of a turn. If the call was not measured, wall time beyond maxTurn is ignored: others may have had the
// CPU. If it was this chain, the next call will show it.
func (c *Chain) endTurn() {
	if t := &c.turn; t.timed || t.guessed > bookFrom {
		c.bookTurn()
	}
}

func (c *Chain) bookTurn() {
	t := &c.turn
	if !t.timed {
		c.spent.Add(int64(t.guessed))
		t.guessed = 0
		return
	}
	var spent time.Duration
	if t.watched {
		spent = t.watch.Stop()
	} else {
		spent = time.Since(t.begin)
	}
	if c.costly = spent >= watchFrom; !t.watched {
		spent = min(spent, maxTurn)
	}
	c.spent.Add(int64(spent))
}

// backlog holds records for which a call of Apply had no room or no time. Nothing more is read meanwhile, so it holds what one
// read brought.
type backlog struct {
	records []record.Record // in memory of their own
	at      int             // index of the first that is left
	lows    []int64         // the least offset of each record and those after it
	last    bool            // nothing follows
}

// Pending reports whether records are left for which Apply had no room or no time.
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

// catchUp processes records of the backlog until the turn is over, but at least one.
func (c *Chain) catchUp(b *record.Batch, now int64) {
	q := &c.backlog
	for first := q.at; q.at < len(q.records) && (q.at == first || !c.over(b)); q.at++ {
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
		q.records, q.lows, q.at = nil, nil, 0
	}
}

// low returns the least offset of the records that are left, of which there must be at least one.
func (q *backlog) low() int64 { return q.lows[q.at] }

// measure computes the least offsets, because pieces of long messages make records complete in another order than they begin.
// It runs when records come, not when they go, because a backlog takes many turns.
func (q *backlog) measure() {
	q.lows = slices.Grow(q.lows[:0], len(q.records))[:len(q.records)]
	low := int64(math.MaxInt64)
	for i := len(q.records) - 1; i >= q.at; i-- {
		low = min(low, q.records[i].Offset)
		q.lows[i] = low
	}
}
