// SPDX-License-Identifier: Apache-2.0

package format

import (
	"runtime"
	"strconv"
	"sync"
	"weak"

	"github.com/remora-logs/remora/shared/record"
)

// sampler keeps the first of every n records.
type sampler struct{ n int64 }

func newSampler(n int) *sampler {
	if n <= 1 {
		return nil
	}
	return &sampler{n: int64(n)}
}

// pass reports whether to keep a record before which judged others were judged.
func (s *sampler) pass(judged int64) bool { return judged%s.n == 0 }

// Rates holds the buckets of rate_limit, by declaration of a container and output: all streams of one declaration share one,
// however many files it matches. It is safe for concurrent use.
type Rates struct {
	mu      sync.Mutex
	buckets map[rateKey]weak.Pointer[bucket]
}

type rateKey struct {
	owner, declaration string
	rate               float64
}

// bucket returns the bucket of key. It lives as long as a chain uses it.
func (r *Rates) bucket(key rateKey) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.buckets[key].Value(); b != nil {
		return b
	}
	b := newBucket(key.rate)
	if r.buckets == nil {
		r.buckets = make(map[rateKey]weak.Pointer[bucket])
	}
	r.buckets[key] = weak.Make(b)
	runtime.AddCleanup(b, r.forget, key)
	return b
}

// forget removes the entry of a bucket that is no longer used, unless there is a new one.
func (r *Rates) forget(key rateKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.buckets[key]; ok && p.Value() == nil {
		delete(r.buckets, key)
	}
}

// bucket fills with rate tokens a second, and holds those of one second, but at least one. It is safe for concurrent use.
type bucket struct {
	mu           sync.Mutex
	rate, tokens float64
	last         int64 // when it was last filled, in ns since 1970
}

func newBucket(rate float64) *bucket { return &bucket{rate: rate, tokens: max(1, rate)} }

// take takes a token, if there is one.
func (b *bucket) take(now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if elapsed := now - b.last; elapsed > 0 {
		if b.last != 0 {
			b.tokens = min(max(1, b.rate), b.tokens+b.rate*float64(elapsed)/float64(second))
		}
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// limiter suppresses the records of a chain for which its bucket has no token. A record of Remora's own reports their number,
// at most once a second.
type limiter struct {
	bucket   *bucket
	verdicts *Verdicts // nil if nothing is read again

	suppressed int64 // since the last notice
	since      int64 // time of the first of them
	offset     int64 // of the first of them, and so of the notice
	source     *record.Source
	untold     Judged // the chain's judged before the first of them
}

const second = int64(1e9)

func (o *Options) newLimiter(declaration string, rate float64) *limiter {
	switch {
	case rate <= 0:
		return nil
	case o.Rates == nil:
		return &limiter{bucket: newBucket(rate)}
	}
	return &limiter{bucket: o.Rates.bucket(rateKey{o.Owner, declaration, rate})}
}

// pass reports whether r may pass, before which the records in judged were judged. A notice that is due goes before r.
func (l *limiter) pass(c *Chain, b *record.Batch, r *record.Record, judged Judged, now int64) bool {
	l.notice(c, b, now, false)
	if l.judge(judged.Limited, now) {
		return true
	}
	if l.suppressed == 0 {
		l.since, l.offset, l.source = now, r.Offset, r.Source
		l.untold = judged
		l.untold.From = r.Offset
	}
	l.suppressed++
	return false
}

// judge decides about record number n. It repeats an earlier decision.
func (l *limiter) judge(n, now int64) bool {
	v := l.verdicts
	if v == nil {
		return l.bucket.take(now)
	}
	if passed, known := v.of(n); known {
		return passed
	}
	v.earn(l.bucket.rate, now)
	passed := v.credit >= 1
	if passed {
		v.credit--
	} else {
		passed = l.bucket.take(now)
	}
	v.add(passed)
	return passed
}

// notice delivers the number of suppressed records if it is due: a second after the first of them, or if nothing follows.
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
