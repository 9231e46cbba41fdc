// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// sendLoop sends the batchesPerShard in the order in which they were filled. It ends once the fill loop has ended and what is on
// its way is acknowledged or has had its moment.
func (s *shard) sendLoop(ctx context.Context) {
	ctx, cancel := withGracePeriod(ctx, lastWrite)
	defer cancel()
	for f := range s.ready {
		if s.send(ctx, f, f.batch.Records) != nil {
			// Stopping. Neither this flight nor one behind it is acknowledged: the next run reads them again. There is
			// room in ready for all batchesPerShard, so the fill loop does not wait for us.
			return
		}
		f.acknowledge()
		f.reset()
		s.idle <- f
	}
}

// withGracePeriod returns a context that ends some time after parent.
func withGracePeriod(parent context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(by, cancel) })
	return ctx, func() { stop(); cancel() }
}

// send delivers records, which are the flight's or a part of them, and returns once the backend has taken or refused
// each one, however long that takes. Its only error is that ctx ended.
func (s *shard) send(ctx context.Context, f *inflightBatch, records []record.Record) error {
	s.pause.Reset()
	for len(records) > 0 {
		err := s.sink.output.Write(ctx, &record.Batch{Records: records})
		var partial *output.Partial
		var tooLarge *output.TooLarge
		var refused *output.Refused
		switch {
		case err == nil:
			s.sink.state.worked(s, time.Now())
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &partial):
			for _, r := range partial.Refused {
				s.refuse(f, &records[r.Index], r.Reason)
			}
			for _, b := range partial.Blocked {
				partial.Retry = append(partial.Retry, b.Index)
			}
			slices.Sort(partial.Retry)
			if len(partial.Retry) < len(records) {
				s.pause.Reset() // something got through
			}
			if records = keep(records, partial.Retry); len(records) == 0 {
				s.sink.state.worked(s, time.Now())
				return nil
			}
		case errors.As(err, &tooLarge), errors.As(err, &refused):
			if len(records) == 1 {
				s.refuse(f, &records[0], err.Error())
				return nil
			}
			// Halves are smaller, and lead to the record that is to blame in as many steps as its place has bits.
			half := len(records) / 2
			if err := s.send(ctx, f, records[:half]); err != nil {
				return err
			}
			records = records[half:]
			continue
		}
		s.sink.state.failed(s, err, time.Now())
		if err := s.wait(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// wait pauses before the next attempt: as long as the backend asked for, at least as long as the back-off says.
func (s *shard) wait(ctx context.Context, err error) error {
	pause := s.pause.NextBackOff()
	var throttled *output.Throttled
	var partial *output.Partial
	if errors.As(err, &throttled) {
		pause = max(pause, throttled.After)
	} else if errors.As(err, &partial) {
		pause = max(pause, partial.After)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refuse books a record that the backend will never take, and puts it where it can be looked at.
func (s *shard) refuse(f *inflightBatch, r *record.Record, reason string) {
	feed := f.refuse(r)
	if err := s.pipeline.dead.put(s.sink.name, r, reason); err != nil {
		s.pipeline.log.Error("refused records can't be kept, only counted", "output", s.sink.name, "error", err)
	}
	feed.noteRefused(reason)
}

// keep moves the records at indices, which ascend, to the front and returns them.
func keep(records []record.Record, indices []int) []record.Record {
	for i, at := range indices {
		records[i], records[at] = records[at], records[i]
	}
	return records[:len(indices)]
}
