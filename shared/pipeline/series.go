// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"time"
)

// seriesKey identifies streams that are read one after the other.
type seriesKey struct{ declaration, series string }

func (f *Feed) seriesKey() seriesKey { return seriesKey{f.route.Source.Declaration, f.route.Series} }

// ordered is a stream that knows its place in its series: streams of lower order were written before it.
type ordered interface{ Order() int64 }

// precedes reports whether f was written before g.
func (f *Feed) precedes(g *Feed) bool {
	a, ok := f.route.Stream.(ordered)
	b, too := g.route.Stream.(ordered)
	return ok && too && a.Order() < b.Order()
}

// join inserts f into its series. The caller holds s.mu.
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

// part removes f from its series. The caller holds s.mu.
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

// followFor bounds how long a feed waits for the one before it to make progress: a compressed file that still grows, or a
// file system that does not answer, may yield nothing for long.
const followFor = 2 * time.Second

// following holds where the feed before f was when it last made progress, and when that was. waits is whether f waits for it.
type following struct {
	cursor int64
	since  time.Time
	waits  bool
}

// follows reports whether f must wait until the feed before it in its series is read to its end, as far as that is known. f
// does not wait for one that can't be read, or must not be, now: f may be sent before the rest of it. f does wait for one
// that waits itself, although that makes no progress.
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
