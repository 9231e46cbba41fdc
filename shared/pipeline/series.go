// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"time"
)

// seriesKey is what streams have in common that are read one after the other.
type seriesKey struct{ declaration, series string }

func (f *Feed) seriesKey() seriesKey { return seriesKey{f.route.Source.Declaration, f.route.Series} }

// ordered is a stream that knows which of a series it is: those of a lower order were written before.
type ordered interface{ Order() int64 }

// precedes reports whether f was written before g.
func (f *Feed) precedes(g *Feed) bool {
	a, ok := f.route.Stream.(ordered)
	b, too := g.route.Stream.(ordered)
	return ok && too && a.Order() < b.Order()
}

// join gives f its place in its series. Under mu.
func (s *shard) join(f *Feed) {
	if f.route.Series == "" {
		return
	}
	all := s.series[f.seriesKey()]
	i := len(all)
	for i > 0 && f.precedes(all[i-1]) {
		i--
	}
	if i > 0 {
		f.older.Store(all[i-1])
	}
	if i < len(all) {
		all[i].older.Store(f)
	}
	s.series[f.seriesKey()] = slices.Insert(all, i, f)
}

// part takes f out of its series. Under mu.
func (s *shard) part(f *Feed) {
	key := f.seriesKey()
	others := s.series[key]
	i := slices.Index(others, f)
	if i < 0 {
		return
	}
	if i+1 < len(others) {
		others[i+1].older.Store(f.older.Load())
	}
	f.older.Store(nil)
	if s.series[key] = slices.Delete(others, i, i+1); len(s.series[key]) == 0 {
		delete(s.series, key)
	}
}

// hasSeries reports whether the shard has a feed of the same series.
func (s *shard) hasSeries(f *Feed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.route.Series != "" && len(s.series[f.seriesKey()]) > 0
}

// followFor bounds how long a feed waits for the one before it to make progress: of a compressed file that still grows, and
// of a file system that does not answer, nothing may come for long.
const followFor = 2 * time.Second

// following is how far the one before was when f waited for it last, and since when; waits is whether f waits.
type following struct {
	cursor int64
	since  time.Time
	waits  bool
}

// follows reports whether f has to wait until the one before it in its series is read to its end, as far as that is known.
// One that can't be read now, or must not be, holds up nobody: f may be sent before what is left of it. One that waits
// itself makes no progress, and is waited for all the same.
func (f *Feed) follows(now time.Time) bool {
	f.following.waits = f.mustFollow(f.older.Load(), now)
	return f.following.waits
}

func (f *Feed) mustFollow(o *Feed, now time.Time) bool {
	if o == nil || o.detached.Load() || o.held(now) || o.reader.finished || !o.reader.retryAt.IsZero() {
		return false
	}
	end := o.route.Stream.End()
	if !o.reader.pending() && (end <= o.reader.cursor || end <= o.reader.scannedTo) {
		return false
	}
	if at := o.reader.cursor; o.following.waits || f.following.since.IsZero() || at != f.following.cursor {
		f.following = following{cursor: at, since: now}
	}
	return now.Sub(f.following.since) < followFor
}
