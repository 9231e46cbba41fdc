// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/remora-logs/remora/shared/mapped"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/poison"
	"github.com/remora-logs/remora/shared/record"
)

// setAsideBytes is the size at which the file of records that killed the process is renamed to FILE.1. It is only used if
// there is no file of dead letters.
const setAsideBytes = 16 << 20

// mapMarks is replaced by tests.
var mapMarks poison.Map = mapped.Map

// watchRecords prepares marking the records that are being parsed and filtered, with a slot for each shard and one for each
// output's possible slow shard.
func (p *Pipeline) watchRecords(dir string, cfg Config) {
	p.aside = p.dead
	if cfg.DeadLetter == "" {
		p.aside = &deadLetters{path: filepath.Join(dir, "set-aside.jsonl"), limit: setAsideBytes}
	}
	shards := 0
	for _, l := range p.sinks {
		shards += len(l.shards) + 1
	}
	w, err := poison.Open(dir, shards, mapMarks, p.log)
	if err != nil {
		notice.SuspectNotWatched.Log(p.log, "error", err)
		return
	}
	p.watch, p.isolating = w, w.Any()
	slot := 0
	for _, l := range p.sinks {
		for _, s := range l.shards {
			s.slot = w.Slot(slot)
			slot++
		}
		l.slowSlot = w.Slot(slot)
		slot++
	}
}

func (p *Pipeline) closeWatch() {
	if p.watch != nil {
		_ = p.watch.Close()
	}
	if p.aside != p.dead {
		p.aside.close()
	}
}

// suspects is what a reader knows about records that may kill the process.
type suspects struct {
	deaths  map[int64]int // by mark
	alone   int64         // mark of the record that is processed while all other chains are stopped, or -1
	turn    int64         // mark of a turn whose records are suspect, which ended at turnEnd; 0 for none
	turnEnd int64
	aside   tally // records that were set aside in this turn
}

// watch makes the reader's chain mark its records. It is called after the reader got a new chain.
func (f *Feed) watch() {
	w := f.pipeline.watch
	if w == nil || f.reader.chain == nil {
		return
	}
	var suspect func(*record.Record, int64) bool
	of := w.Of(f.route.Source.ID, f.key.Output)
	turn, end, any := w.Turn(f.route.Source.ID, f.key.Output)
	if of != nil || any {
		f.reader.suspects = &suspects{deaths: of, alone: -1, turn: turn, turnEnd: end}
		suspect = f.suspect
	}
	f.reader.chain.Watch(f.shard.slot.At(), suspect)
}

// apply applies the chain to the batch's records from index from on. Records are marked only during this call.
func (f *Feed) apply(b *record.Batch, from int, now int64, last bool) {
	f.enterChain()
	f.reader.chain.Apply(b, from, now, last)
	f.leaveChain()
}

// expire ends the chain's groups of lines that have waited too long.
func (f *Feed) expire(b *record.Batch, now int64) {
	f.enterChain()
	f.reader.chain.Expire(b, now)
	f.leaveChain()
}

// enterChain names the feed in its shard's slot.
func (f *Feed) enterChain() {
	p := f.pipeline
	if p.isolating {
		p.alone.RLock()
	}
	if p.watch != nil {
		f.shard.slot.Enter(f.route.Source.ID, f.key.Output, f.reader.cursor, f.reader.suspects != nil)
	}
}

// leaveChain empties the slot.
func (f *Feed) leaveChain() {
	p := f.pipeline
	if p.watch != nil {
		f.shard.slot.Leave()
		f.turnSurvived()
	}
	if p.isolating {
		f.survived()
		p.alone.RUnlock()
	}
}

// turnRest is how many bytes after a turn its last records may still be processed: lines that are joined with later ones.
const turnRest = 1 << 20

// turnSurvived forgets a turn that a process died in, once the reader is turnRest bytes past it.
func (f *Feed) turnSurvived() {
	s := f.reader.suspects
	if s == nil || s.turn == 0 || f.reader.cursor < s.turnEnd+turnRest {
		return
	}
	f.pipeline.watch.Clear(f.route.Source.ID, f.key.Output, s.turn)
	if s.turn = 0; len(s.deaths) == 0 {
		f.reader.chain.Watch(f.shard.slot.At(), nil)
		f.reader.suspects = nil
	}
}

// suspect is called by the chain before it processes a record. It returns false if the record is set aside.
func (f *Feed) suspect(r *record.Record, mark int64) bool {
	*f.shard.slot.At() = 0 // the record before it is done
	f.survived()
	s, p := f.reader.suspects, f.pipeline
	deaths := s.deaths[mark]
	switch {
	case deaths >= poison.AsideAfter:
		f.setAside(r, mark, deaths)
		return false
	case deaths >= poison.AloneAfter && p.isolating:
		p.alone.RUnlock()
		p.alone.Lock()
		s.alone = mark
	}
	f.shard.slot.Mark(mark)
	return true
}

// survived clears a suspect record that was processed alone, and lets other chains run again.
func (f *Feed) survived() {
	s, p := f.reader.suspects, f.pipeline
	if s == nil || s.alone < 0 {
		return
	}
	p.watch.Clear(f.route.Source.ID, f.key.Output, s.alone)
	delete(s.deaths, s.alone)
	s.alone = -1
	p.alone.Unlock()
	p.alone.RLock()
}

// setAside stores a record that has killed the process too often. The record is never sent, because it could not be filtered.
// If its stream waits at the checkpoint, it is met again at each attempt, but stored only once.
func (f *Feed) setAside(r *record.Record, mark int64, deaths int) {
	f.reader.suspects.aside.add(tally{records: 1, bytes: sizeOf(r)})
	reason := fmt.Sprintf("the process died %d times while this record was parsed or filtered", deaths)
	if !f.noteAside(mark, reason) {
		return
	}
	if err := f.pipeline.aside.put(f.key.Output, r, reason); err != nil {
		notice.DeadlyNotKept.Log(f.log(), "error", err)
	}
	notice.DeadlySetAside.Log(f.log(), "offset", r.Offset, "deaths", deaths,
		"path", f.pipeline.aside.path)
}

// noteAside notes that the record with mark is set aside. It reports whether this is new.
func (f *Feed) noteAside(mark int64, reason string) bool {
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.aside[mark]; known {
		return false
	}
	if l.aside == nil {
		l.aside = map[int64]struct{}{}
	}
	l.aside[mark] = struct{}{}
	l.losses.Error, l.losses.Since = reason, time.Now()
	return true
}
