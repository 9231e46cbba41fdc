// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// reader is where a feed is in its stream, and how it reads on. It belongs to the fill loop of one shard.
type reader struct {
	cutter cut.Cutter
	chain  *format.Chain // nil for nothing
	epoch  uint32        // the feed's, when the reader was last at the checkpoint

	cursor int64         // where to read next
	passed int64         // the cursor when the chain had last nothing pending
	judged format.Judged // how far the chain had come then
	at     place         // where the last turn that was booked ended
	// follows means that the last records came from another feed's turn: cutter and chain are nil, and at is all that there is.
	follows    bool
	comparable bool  // what it reads depends on the stream alone
	common     bool  // and so does how it stands at at
	missed     int64 // where another feed is, and no turn can end
	ending     bool  // nothing follows what the chain has pending
	resumed    int64 // records complete at or before it were acknowledged in an earlier life
	scannedTo  int64 // a read up to here brought nothing whole: another is of no use before the stream's end is beyond
	size       int   // bytes to read at once
	least      int64 // bytes without which the next record is not whole, as far as that is known
	full       bool  // the last read brought as many: there is more
	tailTorn   bool  // what follows scannedTo did not come, so that nothing whole can: it may be gone
	finished   bool  // nothing more is to be read

	suspects *suspects // nil where no record of the stream is one

	retryAt time.Time // after an error
	failing bool

	lastTime int64  // of the last record
	sameTime uint32 // how many before it had the same

	written, lastWritten int64 // when the oldest record was written that is not booked, and the newest; 0 for none

	counted     tally // what chain and cutter had counted after the last turn
	skipLogged  int64
	lastSkipLog time.Time
}

// learned is what the chain has learned from the stream.
func (r *reader) learned() string {
	switch {
	case r.follows:
		return r.at.learned
	case r.chain == nil:
		return ""
	}
	return r.chain.Learned()
}

// place is where a feed is in its stream: position, and what a chain has to know there.
type place struct {
	pos     checkpoint.Position
	learned string        // by the chain; empty for nothing
	judged  format.Judged // how far the chain has come
}

// place ends a turn and returns where.
func (r *reader) place() place {
	if !r.follows {
		pos := r.position()
		r.at = place{pos, r.learned(), r.judged}
	}
	return r.at
}

// discard gives back what the chain holds.
func (r *reader) discard() {
	if r.chain != nil {
		r.chain.Discard()
	}
}

// begin makes the reader read from pos with a new cutter and chain. learned is what an earlier chain had learned up to pos, and judged how far it had come.
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

// open is the offset of the oldest unfinished record, or -1.
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

// pending reports whether the chain has records of an earlier read for which there was no room or no time.
func (r *reader) pending() bool { return r.chain != nil && r.chain.Pending() }

// position is where the checkpoint may be once everything that has left the chain is acknowledged. While records are
// pending, those that left it since the last read may be sent again after a restart: which records of a read are
// complete is known for all of them only.
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

// count returns what chain and cutter have counted since it was asked last.
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

// numberSameTimes sets SameTime of records, which follow those that it was called with before.
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
