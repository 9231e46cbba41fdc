// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/park"
	"github.com/remora-logs/remora/shared/record"
)

// storedParked counts the records of one route that an earlier process has parked.
type storedParked struct {
	records, bytes int64
	why            Waiting
}

// openParked opens the store of parked records, and counts those of earlier processes.
func (p *Pipeline) openParked(dir string, cfg Config) {
	p.stored = map[checkpoint.Key]*storedParked{}
	var err error
	p.parked, err = park.Open(dir, cfg.ParkedBytes, max(cfg.RetryMax, firstPause), func(output string, e *park.Entry) {
		key := keyOf(e.Record.Source, output)
		s := p.stored[key]
		if s == nil {
			s = &storedParked{why: Waiting{Since: e.Since}}
			p.stored[key] = s
		}
		s.records++
		s.bytes += sizeOf(&e.Record)
		s.why.Destination, s.why.Reason = e.Destination, e.Reason
	})
	if err != nil {
		notice.ParkedUnreadable.Log(p.log, "error", err)
		p.parked = nil
		return
	}
	if n := p.parked.Damaged(); n > 0 {
		notice.ParkedDamaged.Log(p.log, "bytes", n)
	}
	if n := p.parked.Newer(); n > 0 {
		notice.ParkedNewer.Log(p.log, "bytes", n)
	}
	if n := p.parked.Removed(); n > 0 {
		notice.ParkedBadRemoved.Log(p.log, "files", n, "directory", dir)
	}
	for key, s := range p.stored {
		p.ended.ReadRecords += s.records
		p.ended.ReadBytes += s.bytes
		p.ended.park(s.records, s.bytes)
		if p.sinks[key.Output] == nil {
			notice.ParkedOrphaned.Log(p.log, "output", key.Output,
				"stream", key.Stream, "records", s.records)
		}
	}
}

func keyOf(s *record.Source, output string) checkpoint.Key {
	return checkpoint.Key{Stream: s.Stream, Declaration: s.Declaration, Output: output}
}

func sizeOf(r *record.Record) int64 { return int64(len(r.Line) + len(r.Fields)) }

// claimParked moves the counts of a feed's records that an earlier process has parked to the feed. The caller holds p.mu.
func (p *Pipeline) claimParked(f *Feed) {
	s := p.stored[f.key]
	if s == nil {
		return
	}
	delete(p.stored, f.key)
	p.ended.ReadRecords -= s.records
	p.ended.ReadBytes -= s.bytes
	p.ended.park(-s.records, -s.bytes)
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.ReadRecords += s.records
	l.counts.ReadBytes += s.bytes
	l.counts.park(s.records, s.bytes)
	l.parking = &s.why
}

// syncParked makes parked records durable, so that checkpoints may move past them. If it fails, held are the feeds that have
// parked records since it last succeeded; the checkpoints of others may move. It is called after the positions to be
// committed were read. recent are the feeds that had parked records before that.
func (p *Pipeline) syncParked(recent map[*Feed]struct{}) (held map[*Feed]struct{}, err error) {
	if p.parked == nil {
		return nil, nil
	}
	if err = p.parked.Sync(); err == nil {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.unsynced, recent)
	return maps.Clone(p.unsynced), err
}

// noteUnsynced notes that a feed is about to park a record.
func (p *Pipeline) noteUnsynced(f *Feed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsynced[f] = struct{}{}
}

func (p *Pipeline) closeParked() {
	if p.parked == nil {
		return
	}
	if err := p.parked.Close(); err != nil {
		notice.ParkedNotClosed.Log(p.log, "error", err)
	}
}

// bury puts a record into the dead letters.
func (p *Pipeline) bury(output string, r *record.Record, reason string) {
	if err := p.dead.put(output, r, reason); err != nil {
		notice.DeadLettersFailed.Log(p.log, "output", output, "error", err)
	}
}

// evicted gives up parked records that must make room for others.
func (p *Pipeline) evicted(output string, all []park.Entry) {
	notice.ParkedOverLimit.Log(p.log,
		"output", output, "records", len(all))
	for i := range all {
		p.giveUpParked(output, &all[i], "parked records exceed their limit: "+all[i].Reason)
	}
}

func (p *Pipeline) giveUpParked(output string, e *park.Entry, reason string) {
	p.bury(output, &e.Record, reason)
	size := sizeOf(&e.Record)
	p.countUnparked(output, e, func(c *Counts) {
		c.RefusedRecords++
		c.RefusedBytes += size
	})
}

// countUnparked books a record that is no longer parked to its feed, or to the counts of ended feeds if its feed is done.
func (p *Pipeline) countUnparked(output string, e *park.Entry, book func(*Counts)) {
	key, size := keyOf(e.Record.Source, output), sizeOf(&e.Record)
	move := func(c *Counts) {
		c.park(-1, -size)
		book(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.feeds[key]; f != nil && f.moveParked(move) {
		return
	}
	if s := p.stored[key]; s != nil && s.records > 0 {
		s.records, s.bytes = s.records-1, s.bytes-size
		if s.records == 0 {
			delete(p.stored, key)
		}
	}
	move(&p.ended)
	if successor := p.successor(key, e.Record.Source.Writer()); successor != nil {
		l := &successor.ledger
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.carried.ParkedRecords > 0 {
			move(&l.carried)
			l.carried.settle()
		}
	} else if at := p.endedFeeds.find(e.Record.Source.Writer(), key.Declaration, output); at >= 0 && p.endedFeeds.all[at].Counts.ParkedRecords > 0 {
		move(&p.endedFeeds.all[at].Counts)
		p.endedFeeds.all[at].Counts.settle()
	}
}

// moveParked applies move to the feed's counts if it has parked records.
func (f *Feed) moveParked(move func(*Counts)) bool {
	l := &f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts.ParkedRecords == 0 {
		return false
	}
	refused := l.counts.RefusedRecords
	move(&l.counts)
	l.losses.RefusedRecords += l.counts.RefusedRecords - refused
	if l.counts.ParkedRecords == 0 {
		l.parking = nil
	}
	return true
}

// wakeRetry makes the retry loop check when the next parked record is due.
func (l *sink) wakeRetry() {
	select {
	case l.parked <- struct{}{}:
	default:
	}
}

// retryLoop retries parked records, one segment at a time, until ctx ends. It adds at most one batch in flight.
func (l *sink) retryLoop(ctx context.Context) {
	if l.pipeline.parked == nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.parked:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		wait, err := l.retryDue(ctx)
		if err != nil {
			notice.ParkedNotRetried.Log(l.pipeline.log, "output", l.name, "error", err)
			wait = max(wait, readAgain)
		}
		if wait > 0 {
			timer.Reset(wait)
		}
	}
}

// retryDue retries all segments that are due, and returns the time until the next one is; 0 if there is none.
func (l *sink) retryDue(ctx context.Context) (wait time.Duration, err error) {
	for ctx.Err() == nil {
		segment, entries, wait, failed := l.pipeline.parked.Due(l.name, time.Now())
		err = errors.Join(err, failed)
		if segment == nil {
			return wait, err
		}
		left := l.retry(ctx, entries)
		err = errors.Join(err, segment.Keep(left, entries, time.Now()))
	}
	return 0, err
}

// retry sends parked records and returns those that remain parked. One record for each destination goes first, and the others
// follow only if it is accepted.
func (l *sink) retry(ctx context.Context, entries []park.Entry) (left []park.Entry) {
	var first, rest []park.Entry
	seen := map[string]bool{}
	now := time.Now()
	for _, e := range entries {
		switch after := l.giveUp; {
		case after > 0 && now.Sub(e.Since) >= after:
			l.pipeline.giveUpParked(l.name, &e, e.Reason)
		case now.Before(l.probes[e.Destination].next):
			left = append(left, e)
		case !seen[e.Destination]:
			seen[e.Destination] = true
			first = append(first, e)
		default:
			rest = append(rest, e)
		}
	}
	blocked := l.resend(ctx, first)
	for _, e := range blocked {
		delete(seen, e.Destination)
		l.noteClosed(e.Destination, now)
	}
	left = append(left, blocked...)
	open := rest[:0]
	for _, e := range rest {
		if seen[e.Destination] {
			delete(l.probes, e.Destination)
			open = append(open, e)
		} else {
			left = append(left, e)
		}
	}
	return append(left, l.resend(ctx, open)...)
}

// probe is the back-off of a destination that did not accept a parked record. All segments that hold records for the
// destination share it. It is shorter than a segment's own back-off, so that none of them waits for two of its pauses.
type probe struct {
	next  time.Time
	pause time.Duration
}

// maxProbes bounds the number of probes: destinations' names come from outside.
const maxProbes = 4096

func (l *sink) noteClosed(destination string, now time.Time) {
	if len(l.probes) >= maxProbes {
		clear(l.probes)
	}
	pause := max(firstPause/2, min(2*l.probes[destination].pause, l.cfg.RetryMax/4))
	l.probes[destination] = probe{now.Add(pause), pause}
}

// resend sends parked records once, books what became of them, and returns those that remain parked.
func (l *sink) resend(ctx context.Context, entries []park.Entry) (left []park.Entry) {
	if len(entries) == 0 {
		return nil
	}
	records := make([]record.Record, len(entries))
	for i := range entries {
		records[i] = entries[i].Record
	}
	err := l.output.Write(ctx, &record.Batch{Records: records})
	var partial *output.Partial
	var tooLarge *output.TooLarge
	var no *output.Refused
	parked, buried := map[int]string{}, map[int]bool{}
	switch {
	case err == nil:
	case errors.As(err, &partial):
		for _, i := range partial.Retry {
			parked[i] = entries[i].Reason
		}
		for _, b := range partial.Blocked {
			parked[b.Index] = b.Reason
		}
		for _, r := range partial.Refused {
			l.pipeline.giveUpParked(l.name, &entries[r.Index], r.Reason)
			buried[r.Index] = true
		}
	case (errors.As(err, &tooLarge) || errors.As(err, &no)) && len(entries) == 1:
		l.pipeline.giveUpParked(l.name, &entries[0], err.Error())
		return nil
	case errors.As(err, &tooLarge) || errors.As(err, &no):
		half := len(entries) / 2
		return append(l.resend(ctx, entries[:half]), l.resend(ctx, entries[half:])...)
	default:
		return entries
	}
	for i := range entries {
		e := &entries[i]
		if reason, ok := parked[i]; ok {
			e.Reason = reason
			left = append(left, *e)
		} else if !buried[i] {
			size := sizeOf(&e.Record)
			l.pipeline.countUnparked(l.name, e, func(c *Counts) {
				c.SentRecords++
				c.SentBytes += size
			})
		}
	}
	return left
}
