// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strconv"

	"github.com/remora-logs/remora/shared/record"
)

// sampler keeps the first of every n records.
type sampler struct{ n, at int }

func newSampler(n int) *sampler {
	if n <= 1 {
		return nil
	}
	return &sampler{n: n}
}

func (s *sampler) pass() bool {
	keep := s.at == 0
	if s.at++; s.at == s.n {
		s.at = 0
	}
	return keep
}

// limiter is a bucket of tokens: it fills with rate tokens a second and holds those of a second, at least one. A record
// that finds none is suppressed. How many were, is told in a record of Remora's own, once a second at most.
type limiter struct {
	rate, tokens float64
	last         int64 // when it was filled, in ns since 1970

	suppressed int64 // since the last notice
	since      int64 // when the first of them was
	offset     int64 // of the first of them, which the notice takes over
	source     *record.Source
}

const second = int64(1e9)

func newLimiter(rate float64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: rate, tokens: max(1, rate)}
}

// pass reports whether r may pass. A notice that is due goes before it.
func (l *limiter) pass(c *Chain, b *record.Batch, r *record.Record, now int64) bool {
	if elapsed := now - l.last; elapsed > 0 {
		if l.last != 0 {
			l.tokens = min(max(1, l.rate), l.tokens+l.rate*float64(elapsed)/float64(second))
		}
		l.last = now
	}
	l.notice(c, b, now, false)
	if l.tokens >= 1 {
		l.tokens--
		return true
	}
	if l.suppressed == 0 {
		l.since, l.offset, l.source = now, r.Offset, r.Source
	}
	l.suppressed++
	return false
}

// notice delivers how many records were suppressed, if that is due: a second after the first of them, or if nothing
// follows.
func (l *limiter) notice(c *Chain, b *record.Batch, now int64, last bool) {
	if l.suppressed == 0 || !last && now-l.since < second {
		return
	}
	at := len(b.Arena)
	b.Arena = strconv.AppendInt(append(b.Arena, `"remora":"suppressed","records":`...), l.suppressed, 10)
	l.suppressed = 0
	c.deliver(b, &record.Record{Fields: b.Arena[at:len(b.Arena):len(b.Arena)], Source: l.source, Time: now,
		Offset: l.offset, Marker: true})
}
