// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// modest is a size that fits Loki's ingestion_burst_size_mb, 6 by default. A larger request may exceed the limit by
	// itself, and would be answered with 429 for ever.
	modest = 1 << 20
	// largest is the size of a request from which it is cut if possible: gRPC servers, through which Loki's components talk to
	// each other, accept 4 MiB by default.
	largest = 4 << 20
	// maxPushes bounds the requests that one Write makes in search of entries that Loki does not take. Records that are then
	// undecided are sent again later; the rest of the verdict stands.
	maxPushes = 64
	// maxSaid bounds how much of an answer is read: ten entries with their reasons, and the count after them.
	maxSaid = 64 << 10
)

// push is one Write: a batch, and the verdict on its records so far. Records that Loki has taken are not noted: they are those
// that the verdict does not name.
//
// If Loki answers a push with 400, it has taken the good entries. Sending them again does no harm, because they have the same
// times and are recognised. A record that is refused here although Loki has it is one too many among the dead letters, not one
// too few in Loki.
type push struct {
	*Output
	ctx     context.Context
	records []record.Record
	left    int // requests that may still be made
	verdict output.Partial
	failed  error
}

// run sends the batch and returns the verdict on it.
func (p *push) run() error {
	all := make([]int, len(p.records))
	for i := range all {
		all[i] = i
	}
	good, bad := p.limits.divide(p.records, all, time.Now())
	p.send(good)
	p.sendSuspects(bad)
	v := &p.verdict
	if len(v.Retry) == len(p.records) && p.failed != nil {
		return p.failed
	}
	if len(v.Retry)+len(v.Refused)+len(v.Blocked) == 0 {
		return nil
	}
	slices.Sort(v.Retry)
	if v.Cause == nil {
		v.Cause = p.failed
	}
	var throttled *output.Throttled
	if errors.As(p.failed, &throttled) {
		v.After = throttled.After
	}
	return v
}

// send pushes the records at index, and decides about each.
func (p *push) send(index []int) {
	if len(index) == 0 {
		return
	}
	if p.failed != nil || p.left == 0 {
		p.retry(index, p.failed)
		return
	}
	p.left--
	status, said, size, err := p.post(p.ctx, p.records, index)
	switch {
	case err == nil:
	case status == http.StatusTooManyRequests:
		p.limited(index, readComplaint(said), size, err)
	case isRefused(err):
		p.search(index, readComplaint(said), err)
	case errors.As(err, new(*output.TooLarge)) && len(index) == 1:
		p.refuse(index, err)
	case errors.As(err, new(*output.TooLarge)):
		if status == 0 {
			p.left++ // it was not sent
		}
		p.send(index[:len(index)/2])
		p.send(index[len(index)/2:])
	default: // nothing more can be sent now
		p.failed = err
		p.retry(index, err)
	}
}

func isRefused(err error) bool { return errors.As(err, new(*output.Refused)) }

// sendSuspects pushes records that exceed a limit which Loki has reported. If it reports one again, all of them are refused.
func (p *push) sendSuspects(index []int) {
	if len(index) == 0 {
		return
	}
	if p.failed != nil || p.left == 0 {
		p.retry(index, p.failed)
		return
	}
	p.left--
	_, said, _, err := p.post(p.ctx, p.records, index)
	switch c := readComplaint(said); {
	case err == nil:
		p.limits.forget() // they have been raised
	case isRefused(err) && (c.size > 0 || c.byAge):
		p.refuse(index, err)
	case isRefused(err):
		p.search(index, c, err)
	default:
		p.failed = err
		p.retry(index, err)
	}
}

// limited decides about a push that was answered with 429. A stream that exceeds its own limit, or that may not be created,
// waits alone; a limit of the tenant concerns all records.
func (p *push) limited(index []int, c complaint, size int, cause error) {
	if c.stream == "" {
		if size > modest && len(index) > 1 {
			cause = &output.TooLarge{Cause: cause}
		}
		p.failed = cause
		p.retry(index, cause)
		return
	}
	named, others := p.ofStream(index, c.stream)
	if len(named) == 0 { // the label set has another form than ours
		p.divideStreams(index, cause)
		return
	}
	p.block(named, cause)
	p.send(others)
}

// divideStreams sends the first stream of index alone and then the rest, until the stream at fault is found.
func (p *push) divideStreams(index []int, cause error) {
	named, others := p.ofStream(index, p.streamOf(index[0]))
	if len(others) == 0 {
		p.block(named, cause)
		return
	}
	p.send(named)
	p.send(others)
}

// search decides which records of a push that was answered with 400 Loki has not taken: from its message, or else by sending
// halves, in about log2(n) requests for each of them.
func (p *push) search(index []int, c complaint, cause error) {
	p.limits.learn(c, time.Now())
	if len(index) == 1 {
		p.refuse(index, cause)
		return
	}
	if c.ignored > 0 {
		// The count is for one stream, the last one with such entries.
		named, others := p.ofStream(index, c.stream)
		if len(named) == 0 {
			named, others = index, nil
		}
		if len(named) == c.outOf {
			p.count(named, c, cause)
			p.send(others)
			return
		}
	}
	if bad, good := c.divide(p.records, index, p.stamp); len(bad) > 0 {
		if len(good) > 0 {
			p.send(good) // there may be bad ones of another kind
		}
		p.refuse(bad, cause)
		return
	}
	half := len(index) / 2
	p.send(index[:half])
	p.send(index[half:])
}

// count decides about the records of one stream for which Loki has reported how many it did not take.
func (p *push) count(index []int, c complaint, cause error) {
	if c.ignored >= len(index) {
		p.refuse(index, cause)
		return
	}
	if bad, _ := c.divide(p.records, index, p.stamp); len(bad) == c.ignored {
		p.refuse(bad, cause)
		return
	}
	half := len(index) / 2
	before := len(p.verdict.Refused)
	p.send(index[:half])
	if p.failed == nil && p.left > 0 && len(p.verdict.Refused)-before == c.ignored {
		return // the rest was taken
	}
	p.send(index[half:])
}

// ofStream divides index by whether the record's label set is stream.
func (p *push) ofStream(index []int, stream string) (named, others []int) {
	stream = normal(stream)
	for _, i := range index {
		if normal(p.streamOf(i)) == stream {
			named = append(named, i)
		} else {
			others = append(others, i)
		}
	}
	return named, others
}

func (p *push) streamOf(i int) string {
	r := &p.records[i]
	return string(p.labels.appendSet(nil, r.Source, r.Std))
}

// normal returns a label set in Loki's form, in which the labels are sorted.
func normal(set string) string {
	pairs := strings.Split(strings.Trim(set, "{}"), ", ")
	slices.Sort(pairs)
	return strings.Join(pairs, ", ")
}

func (p *push) retry(index []int, cause error) {
	p.verdict.Retry = append(p.verdict.Retry, index...)
	p.because(cause)
}

func (p *push) refuse(index []int, cause error) {
	for _, i := range index {
		p.verdict.Refused = append(p.verdict.Refused, output.Refusal{Index: i, Reason: cause.Error()})
	}
	p.because(cause)
}

func (p *push) block(index []int, cause error) {
	var after time.Duration
	var throttled *output.Throttled
	if errors.As(cause, &throttled) {
		after = throttled.After
	}
	for _, i := range index {
		p.verdict.Blocked = append(p.verdict.Blocked, output.Blockage{
			Index: i, Destination: string(p.AppendDestination(nil, &p.records[i])), Reason: cause.Error(), After: after,
		})
	}
	p.because(cause)
}

func (p *push) because(cause error) {
	if p.verdict.Cause == nil {
		p.verdict.Cause = cause
	}
}
