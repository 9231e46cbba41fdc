// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// busyInPlace is how long records that the backend was too busy to accept are retried within their batch. Then their streams
// wait by themselves, because a batch holds up all later ones.
const busyInPlace = time.Second

// sendLoop sends the batches in the order in which they were filled. It ends once the fill loop has ended and the batches in
// flight are settled or have had their grace period.
func (s *shard) sendLoop(ctx context.Context) {
	ctx, cancel := withGracePeriod(ctx, lastWrite)
	defer cancel()
	for f := range s.ready {
		f.removeVoid()
		if s.send(ctx, f) != nil {
			// The pipeline is stopping. Neither this batch nor a later one is acknowledged, and the next process reads them
			// again. The channel ready has room for all batches, so the fill loop does not block.
			return
		}
		s.settle(f, time.Now())
		s.show(f)
		f.reset()
		s.idle <- f
	}
}

// withGracePeriod returns a context that ends by after parent.
func withGracePeriod(parent context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(by, cancel) })
	return ctx, func() { stop(); cancel() }
}

// portion is a part of a batch's records on its way to the backend.
type portion struct {
	records []record.Record
	places  []int // of the records in the batch, ascending; nil if they are consecutive from first
	first   int
}

func (p *portion) place(i int) int {
	if p.places != nil {
		return p.places[i]
	}
	return p.first + i
}

// cut returns the records before i, and those from i on.
func (p *portion) cut(i int) (before, from portion) {
	before, from = portion{records: p.records[:i], first: p.first}, portion{records: p.records[i:], first: p.first + i}
	if p.places != nil {
		before.places, from.places = p.places[:i], p.places[i:]
	}
	return before, from
}

// only returns the record at i as a portion.
func (p *portion) only(i int) portion { return portion{records: p.records[i : i+1], first: p.place(i)} }

// pick returns the records at indices as a portion.
func (p *portion) pick(indices []int) portion {
	of := portion{records: make([]record.Record, len(indices)), places: make([]int, len(indices))}
	for n, i := range indices {
		of.records[n], of.places[n] = p.records[i], p.place(i)
	}
	return of
}

// send delivers the batch and returns once the backend has given a verdict on each record, however long that takes. Verdicts
// on records that were not accepted are in f.verdicts. The only error is that ctx ended.
func (s *shard) send(ctx context.Context, f *inflightBatch) error {
	if f.waits() {
		return s.sendProbing(ctx, f)
	}
	return s.deliver(ctx, f, portion{records: f.batch.Records})
}

func (s *shard) deliver(ctx context.Context, f *inflightBatch, p portion) error {
	s.pause.Reset()
	s.dials = 0
	var busySince time.Time
	for len(p.records) > 0 {
		err := s.sink.output.Write(ctx, &record.Batch{Records: p.records, Common: f.common})
		f.leaveCommon() // what is sent again may be only a part
		var partial *output.Partial
		var all *output.Blocked
		var tooLarge *output.TooLarge
		var no *output.Refused
		longest := time.Duration(forever)
		switch {
		case err == nil:
			s.sink.state.accepted(s, time.Now())
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &partial):
			if busySince.IsZero() {
				busySince = time.Now()
			}
			if p, longest = s.partly(f, p, partial, busySince); len(p.records) == 0 {
				return nil
			}
		case errors.As(err, &all):
			for i := range p.records {
				f.reject(p.place(i), verdict{blocked, all.Destination, err.Error(), all.After})
			}
			s.sink.state.answered(s, time.Now())
			return nil
		case errors.As(err, &tooLarge), errors.As(err, &no):
			if len(p.records) == 1 {
				f.reject(p.place(0), verdict{kind: refused, reason: err.Error()})
				s.sink.state.answered(s, time.Now())
				return nil
			}
			// Halves are smaller, and halving finds the record that is to blame in a logarithmic number of steps.
			half, rest := p.cut(len(p.records) / 2)
			if err := s.deliver(ctx, f, half); err != nil {
				return err
			}
			p = rest
			continue
		}
		s.sink.state.failed(s, err, time.Now())
		if unreachable(err) {
			err = s.waitForConnection(ctx)
		} else {
			err = s.wait(ctx, err, longest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// partly acts on verdicts by record, and returns the records to be sent again and the longest pause before that. Once the
// backend has been too busy for them for busyInPlace, counted from busySince, they are left to wait with their streams.
func (s *shard) partly(f *inflightBatch, p portion, partial *output.Partial, busySince time.Time) (left portion, longest time.Duration) {
	now := time.Now()
	left = s.sort(f, p, partial)
	if len(left.records) < len(p.records) {
		s.pause.Reset() // something got through
	}
	longest = busyInPlace - now.Sub(busySince)
	if len(left.records) > 0 && partial.After >= longest {
		s.leaveBusy(f, left, partial)
		left = portion{}
	}
	if len(left.records) == 0 {
		s.sink.state.answered(s, now)
	}
	return left, longest
}

// sort notes the verdicts in partial and returns the records that are to be sent again.
func (s *shard) sort(f *inflightBatch, p portion, partial *output.Partial) portion {
	for _, r := range partial.Refused {
		f.reject(p.place(r.Index), verdict{kind: refused, reason: r.Reason})
	}
	for _, b := range partial.Blocked {
		f.reject(p.place(b.Index), verdict{blocked, b.Destination, b.Reason, b.After})
	}
	if len(partial.Refused)+len(partial.Blocked)+len(partial.Retry) < len(p.records) {
		s.sink.state.accepted(s, time.Now())
	}
	return p.pick(s.leaveWaiting(f, p, partial))
}

// leaveWaiting lets feeds that wait already continue to wait if their records are in partial.Retry: each try is only one
// attempt. It returns the indices of the other records.
func (s *shard) leaveWaiting(f *inflightBatch, p portion, partial *output.Partial) (left []int) {
	at, end := 0, 0 // the range after the one that the record is in, and the place where it begins
	for _, i := range partial.Retry {
		place := p.place(i)
		for ; end <= place; at++ {
			end += f.ranges[at].records
		}
		if !f.ranges[at-1].feed.isWaiting() {
			left = append(left, i)
			continue
		}
		s.leaveBusy(f, p.only(i), partial)
	}
	return left
}

// leaveBusy lets the streams of p wait.
func (s *shard) leaveBusy(f *inflightBatch, p portion, partial *output.Partial) {
	v := verdict{kind: busy, reason: partial.Error(), after: partial.After}
	if partial.Cause != nil {
		v.reason = partial.Cause.Error()
	}
	var name []byte
	for i := range p.records {
		if a, ok := s.sink.output.(output.Addressed); ok {
			name = a.AppendDestination(name[:0], &p.records[i])
			if v.destination != string(name) {
				v.destination = string(name)
			}
		}
		f.reject(p.place(i), v)
	}
}

// wait pauses before the next attempt: as long as the back-off requires, but not longer than longest, and at least as long as
// the backend asked for.
func (s *shard) wait(ctx context.Context, err error, longest time.Duration) error {
	pause := min(s.pause.NextBackOff(), longest)
	var throttled *output.Throttled
	var partial *output.Partial
	if errors.As(err, &throttled) {
		pause = max(pause, throttled.After)
	} else if errors.As(err, &partial) {
		pause = max(pause, partial.After)
	}
	return sleep(ctx, pause, nil)
}

// probeEvery is the longest pause between two attempts to connect, give or take a quarter. A thousand nodes then open five
// hundred connections a second to a backend that is down, spread evenly, and it has their first batches within three seconds
// of its return. A backend that answers but is not ready says so, and that is subject to the back-off of wait.
const probeEvery = 2 * time.Second

// waitForConnection pauses before the next attempt while no connection can be opened. One shard of the output keeps trying,
// and the others wait until it gets an answer, so that they do not all connect at once to a backend that returns.
func (s *shard) waitForConnection(ctx context.Context) error {
	pause := max(s.cfg.RetryMax, firstDial)
	probes, reached := s.sink.state.connecting(s)
	if probes {
		pause = min(pause, probeEvery, firstDial<<min(s.dials, 10))
		s.dials++
		reached = nil
	}
	return sleep(ctx, pause*3/4+rand.N(pause/2+1), reached)
}

// firstDial is the first pause between two attempts to connect. Each later pause is twice as long.
const firstDial = 100 * time.Millisecond

// sleep returns after pause, or when early is closed. The only error is that ctx ended.
func sleep(ctx context.Context, pause time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
