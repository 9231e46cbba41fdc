// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// reader holds a feed's place in its stream, and what is needed to read on. It belongs to the fill loop of one shard.
type reader struct {
	cutter cut.Cutter
	chain  *format.Chain // nil for none
	epoch  uint32        // the feed's epoch when the reader was last at the checkpoint

	cursor int64         // where to read next
	passed int64         // the cursor when the chain last had nothing pending
	judged format.Judged // how far the chain had come then
	at     place         // where the last turn that was booked ended
	// follows means that the last records came from another feed's turn: cutter and chain are nil, and only at is valid.
	follows    bool
	comparable bool  // what it reads depends on the stream alone
	common     bool  // and so does its state at place at
	missed     int64 // another feed's place, at which no turn can end
	ending     bool  // the stream ends after the chain's pending records
	resumed    int64 // records complete at or before it were acknowledged before the reader began
	scannedTo  int64 // reading up to here again is of no use before the stream's end is beyond it
	size       int   // bytes to read at once
	least      int64 // bytes that the next record has at least, as far as that is known
	full       bool  // the last read returned as many bytes as it asked for: there is more
	tailTorn   bool  // a read ended before the stream's end without a whole record: what follows scannedTo may be gone
	finished   bool  // nothing is left to be read

	suspects *suspects // nil if no record of the stream is suspect

	retryAt time.Time // after an error
	failing bool

	lastTime int64  // of the last record
	sameTime uint32 // how many records immediately before it had the same time

	written, lastWritten int64 // when the oldest record that is not booked was written, and the newest one; 0 for none

	counted     tally // what chain and cutter had counted after the last turn
	skipLogged  int64
	lastSkipLog time.Time
}

// learned returns what the chain has learned from the stream.
func (r *reader) learned() string {
	switch {
	case r.follows:
		return r.at.learned
	case r.chain == nil:
		return ""
	}
	return r.chain.Learned()
}

// place is a feed's place in its stream: the position, and the chain's state there.
type place struct {
	pos     checkpoint.Position
	learned string        // by the chain; empty for nothing
	judged  format.Judged // how far the chain has come
}

// place notes and returns the place where a turn has ended.
func (r *reader) place() place {
	if !r.follows {
		pos := r.position()
		r.at = place{pos, r.learned(), r.judged}
	}
	return r.at
}

// discard discards the chain.
func (r *reader) discard() {
	if r.chain != nil {
		r.chain.Discard()
	}
}

// begin makes the reader read from pos with a new cutter and chain. learned is what an earlier chain had learned up to pos,
// and judged how far it had come.
func (r *reader) begin(f *Feed, pos checkpoint.Position, learned string, judged format.Judged, epoch uint32) error {
	cutter, chain, err := f.route.Open()
	if err != nil {
		return err
	}
	r.discard()
	if chain != nil {
		chain.Restore(learned)
		chain.Resume(judged, &f.verdicts, time.Now().UnixNano())
	}
	logged, last := r.skipLogged, r.lastSkipLog
	*r = reader{cutter: cutter, chain: chain, epoch: epoch, cursor: pos.Low, passed: pos.Done, judged: judged, resumed: pos.Done, scannedTo: pos.Low,
		size: f.firstRead, skipLogged: logged, lastSkipLog: last, at: place{pos, learned, judged},
		comparable: chain == nil || !chain.Limited(), common: chain == nil || !chain.Limited()}
	return nil
}

// open returns the offset of the oldest unfinished record, or -1 if there is none.
func (r *reader) open() int64 {
	if r.follows {
		if r.at.pos.Low < r.at.pos.Done {
			return r.at.pos.Low
		}
		return -1
	}
	at := r.cutter.Open()
	if r.chain != nil {
		if held := r.chain.Open(); held >= 0 && (at < 0 || held < at) {
			at = held
		}
	}
	return at
}

// pending reports whether the chain has records of an earlier read that it had no room or no time for.
func (r *reader) pending() bool { return r.chain != nil && r.chain.Pending() }

// position returns where the checkpoint may be once everything that has left the chain is acknowledged. While records of a
// read are pending, those that have left the chain may be sent again after a restart: only a whole read can be acknowledged.
func (r *reader) position() checkpoint.Position {
	if !r.pending() {
		r.passed = r.cursor
		if r.chain != nil {
			r.judged = r.chain.Judged()
		}
	}
	pos := checkpoint.Position{Low: r.cursor, Done: max(r.passed, r.resumed)}
	if at := r.open(); at >= 0 {
		pos.Low = at
	}
	pos.Done = max(pos.Low, pos.Done)
	return pos
}

// count returns what the chain and the cutter have counted since the last call.
func (r *reader) count() tally {
	var now tally
	if r.chain != nil {
		done := r.chain.Counts()
		now.filtered, now.parseErrors = done.Filtered, done.ParseErrors
	}
	now.skipped, _ = r.cutter.Skipped()
	since := now
	since.subtract(r.counted)
	r.counted = now
	return since
}

// numberSameTimes sets SameTime of records, which follow those of the last call.
func (r *reader) numberSameTimes(records []record.Record) {
	for i := range records {
		if of := &records[i]; of.Time == r.lastTime {
			r.sameTime++
			of.SameTime = r.sameTime
		} else {
			r.lastTime, r.sameTime, of.SameTime = of.Time, 0, 0
		}
	}
}
