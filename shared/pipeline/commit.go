// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/notice"
)

// touch marks the feed's position as one to be committed.
func (p *Pipeline) touch(f *Feed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.feeds[f.key] == f {
		p.dirty[f] = struct{}{}
		p.wake()
	}
}

// wake makes the commit loop commit, no sooner than commitEvery after the last commit.
func (p *Pipeline) wake() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

func (p *Pipeline) commitLoop(ctx context.Context) {
	tick := time.NewTimer(untilNext(commitEvery, time.Now()))
	defer tick.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	<-due.C
	var last time.Time
	defer p.commits.Wait()
	for {
		p.commits.Turn(time.Now())
		select {
		case <-p.moved:
			due.Reset(max(0, commitEvery-time.Since(last)))
		case <-due.C:
			p.commit()
			last = time.Now()
		case <-tick.C:
			now := time.Now()
			p.updateLag(now)
			tick.Reset(untilNext(commitEvery, now))
		case <-ctx.Done():
			return
		}
	}
}

// Late returns the time since the last turn of the commit loop, which turns at least once a second; 0 if it is not running.
// An output or a stream that does not answer does not make it late.
func (p *Pipeline) Late(now time.Time) time.Duration { return p.commits.Late(now) }

// markOf returns the mark of a feed's stream at off. Making it may read the stream, so the commit loop counts as waiting
// meanwhile.
func (p *Pipeline) markOf(f *Feed, off int64) ([]byte, error) {
	if p.commits.Wait() {
		defer func() { p.commits.Turn(time.Now()) }()
	}
	return f.route.Stream.Mark(off)
}

func (p *Pipeline) updateLag(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.feeds {
		f.updateLag(now)
	}
}

// commit stores all positions that have moved in one transaction. Parked records are made durable first, because the
// positions may be past them; if that fails, the feeds that have parked records are left out. Then commit releases the
// streams' bytes and removes the feeds that are done. What could not be committed is retried.
func (p *Pipeline) commit() {
	p.mu.Lock()
	dirty, forget := p.dirty, p.forget
	p.dirty, p.forget = make(map[*Feed]struct{}, len(dirty)), nil
	recent := p.unsynced
	p.unsynced = map[*Feed]struct{}{}
	p.mu.Unlock()

	put := make(map[checkpoint.Key]checkpoint.Entry, len(dirty))
	positions := make(map[*Feed]committed, len(dirty))
	for f := range dirty {
		e, final := f.ledger.entry()
		mark, err := p.markOf(f, e.Low)
		f.noteMark(err)
		e.Mark = mark
		positions[f] = committed{e.Position, final}
		put[f.key] = e
	}
	held, syncErr := p.syncParked(recent)
	for f := range held {
		delete(put, f.key)
		delete(positions, f)
	}
	err := p.store.Commit(put, forget)
	p.noteCommit(errors.Join(syncErr, err))
	if err != nil {
		positions = nil
	} else {
		forget = nil
	}
	p.commitAgain(dirty, positions, forget)
	for f, pos := range positions {
		f.route.Stream.Release(pos.Low)
		if pos.final {
			p.done(f)
		}
	}
}

// commitAgain schedules, for the next commit, the feeds of dirty that are not in done, and the keys of forget.
func (p *Pipeline) commitAgain(dirty map[*Feed]struct{}, done map[*Feed]committed, forget []checkpoint.Key) {
	if len(done) == len(dirty) && len(forget) == 0 {
		return
	}
	p.mu.Lock()
	for f := range dirty {
		if _, ok := done[f]; !ok {
			p.dirty[f] = struct{}{}
		}
	}
	p.forget = append(p.forget, forget...)
	p.mu.Unlock()
	p.wake()
}

// committed is a position that was made durable; final means that nothing follows.
type committed struct {
	checkpoint.Position
	final bool
}

// noteMark logs once that a stream's mark can't be made.
func (f *Feed) noteMark(err error) {
	if err != nil && !f.markFailed {
		notice.MarkFailed.Log(f.log(), "error", err)
	}
	f.markFailed = err != nil
}

// noteCommit logs once that checkpoints can't be stored, and once that they can again.
func (p *Pipeline) noteCommit(err error) {
	p.mu.Lock()
	was := p.commitErr
	p.commitErr = err
	if was == nil && err != nil {
		p.commitErrSince = time.Now()
	}
	p.mu.Unlock()
	switch {
	case err != nil && was == nil:
		notice.CheckpointsNotStored.Log(p.log, "error", err)
	case err == nil && was != nil:
		p.log.Info("checkpoints stored again")
	}
}

// StoreError returns why the last checkpoints could not be stored, and since when that is so; nil if they were.
func (p *Pipeline) StoreError() (since time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commitErrSince, p.commitErr
}
