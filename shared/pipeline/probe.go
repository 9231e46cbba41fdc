// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"github.com/remora-logs/remora/shared/output"
)

// sendProbing sends a batch with records of streams that wait for their destinations. The first record of each such stream for
// each destination goes after all records of other streams, and the rest follows only if it was accepted. Otherwise a
// destination that begins to accept records halfway would get later records of a stream before earlier ones, and records that
// it does not accept would be sent in vain.
func (s *shard) sendProbing(ctx context.Context, f *inflightBatch) error {
	f.leaveCommon()
	all := portion{records: f.batch.Records}
	others, firsts, rest := s.split(f)
	if err := s.deliver(ctx, f, all.pick(others)); err != nil {
		return err
	}
	if err := s.deliver(ctx, f, all.pick(firsts)); err != nil {
		return err
	}
	left := rest[:0]
	for _, r := range rest {
		if v := f.verdictOn(r.first); v != nil && v.kind != refused {
			f.reject(r.place, *v)
		} else {
			left = append(left, r)
		}
	}
	places := make([]int, len(left))
	for i, r := range left {
		places[i] = r.place
	}
	return s.deliver(ctx, f, all.pick(places))
}

// behind is the place in the batch of a record that is sent only after the first one of its stream and destination.
type behind struct{ place, first int }

// split returns the places of the batch's records in three groups: those of feeds that do not wait; of each feed that does,
// the first one for each destination; and the rest.
func (s *shard) split(f *inflightBatch) (others, firsts []int, rest []behind) {
	type key struct {
		feed        *Feed
		destination string
	}
	var last key
	first := map[key]int{}
	var name []byte
	addressed, _ := s.sink.output.(output.Addressed)
	at := 0
	for i := range f.ranges {
		r := &f.ranges[i]
		waits := r.feed.isWaiting()
		for place := at; place < at+r.records; place++ {
			if !waits {
				others = append(others, place)
				continue
			}
			if addressed != nil {
				name = addressed.AppendDestination(name[:0], &f.batch.Records[place])
			}
			if last.feed != r.feed || last.destination != string(name) {
				last = key{r.feed, string(name)}
			}
			if of, known := first[last]; known {
				rest = append(rest, behind{place, of})
			} else {
				first[last] = place
				firsts = append(firsts, place)
			}
		}
		at += r.records
	}
	return others, firsts, rest
}

// verdictOn returns why the record at place was not accepted; nil if it was.
func (f *inflightBatch) verdictOn(place int) *verdict {
	if f.verdicts == nil || f.verdicts[place] == 0 {
		return nil
	}
	return &f.reasons[f.verdicts[place]-1]
}

// waits reports whether a feed in the batch waits for its destination.
func (f *inflightBatch) waits() bool {
	for i := range f.ranges {
		if r := &f.ranges[i]; r.records > 0 && r.feed.hold.Load() != 0 && r.feed.isWaiting() {
			return true
		}
	}
	return false
}
