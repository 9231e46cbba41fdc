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

// pass reports whether the record before which so many were judged is kept.
func (s *sampler) pass(judged int64) bool { return judged%s.n == 0 }

// Rates holds what rate_limit lets pass, by declaration of a container and output: all streams of one declaration share
// it, however many files it finds. It is safe for concurrent use.
type Rates struct {
	mu      sync.Mutex
	buckets map[rateKey]weak.Pointer[bucket]
}

type rateKey struct {
	owner, declaration string
	rate               float64
}

// bucket returns the one of key. It lives as long as a chain uses it.
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

// forget removes the entry of a bucket that nobody uses any more, unless there is a new one.
func (r *Rates) forget(key rateKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.buckets[key]; ok && p.Value() == nil {
		delete(r.buckets, key)
	}
}

// bucket fills with rate tokens a second and holds those of a second, at least one. It is safe for concurrent use.
type bucket struct {
	mu           sync.Mutex
	rate, tokens float64
	last         int64 // when it was filled, in ns since 1970
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

// limiter suppresses the records of a chain for which its bucket has no token. How many these were, is told in a record of
// Remora's own, once a second at most.
type limiter struct {
	bucket   *bucket
	verdicts *Verdicts // nil where nothing is read again

	suppressed int64 // since the last notice
	since      int64 // when the first of them was
	offset     int64 // of the first of them, which the notice takes over
	source     *record.Source
	untold     Judged // before the first of them
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

// pass reports whether r may pass, before which the records in judged were. A notice that is due goes before it.
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

// judge decides on record number n, as before where it was decided on before.
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
