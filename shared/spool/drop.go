// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"os"
	"slices"
)

// dropped is what one view loses. exact means that its beginning is a boundary between frames.
type dropped struct {
	view *View
	gap
	exact bool
}

// plan limits the reads of all views, and returns what each view loses if about need bytes are given up, from the position of
// the slowest view on. The limits of views that lose something stay until addGap. The caller holds l.maintMu.
func (l *Log) plan(need int64) []dropped {
	end := l.end.Load()
	plan := make([]dropped, 0, len(l.views))
	for _, v := range l.views {
		d := dropped{view: v}
		d.from, d.exact = v.limitReads(end)
		plan = append(plan, d)
	}
	slices.SortStableFunc(plan, func(a, b dropped) int { return cmp.Compare(a.from, b.from) })
	if len(plan) == 0 || plan[0].from >= end {
		unlimitReads(plan)
		return nil
	}
	target := l.segmentEnd(min(plan[0].from+min(need, end), end))
	hit := slices.IndexFunc(plan, func(d dropped) bool { return d.from >= target })
	if hit < 0 {
		hit = len(plan)
	}
	unlimitReads(plan[hit:])
	plan = plan[:hit]
	to := l.countFrames(plan, target, end)
	for i := range plan {
		plan[i].to = to
	}
	rest := slices.IndexFunc(plan, func(d dropped) bool { return d.from >= to })
	if rest >= 0 {
		unlimitReads(plan[rest:])
		plan = plan[:rest]
	}
	return plan
}

func unlimitReads(plan []dropped) {
	for _, d := range plan {
		d.view.unlimitReads()
	}
}

// segmentEnd returns the end of the segment that off lies in, so that whole files are removed, or off itself if capture still
// writes that segment.
func (l *Log) segmentEnd(off int64) int64 {
	segs := *l.segments.Load()
	if i := segmentAt(segs, off); i >= 0 && i < len(segs)-1 && off < segs[i].end() {
		return segs[i].end()
	}
	return off
}

// countFrames walks once over what is given up, and sets for each view how many frames lie from its own position to the boundary
// where the walk ends, which it returns. If the bytes are not frames, the number is -1 and the walk ends at target.
func (l *Log) countFrames(plan []dropped, target, end int64) int64 {
	at, exact := plan[0].from, true
	upTo := make([]int64, len(plan)) // number of frames before each view's position
	var total int64
	for i := range plan {
		next, n, ok := l.skipFrames(at, plan[i].from, end)
		total += n
		upTo[i] = total
		exact = exact && ok && next == plan[i].from && plan[i].exact
		at = plan[i].from
	}
	to, n, ok := l.skipFrames(at, target, end)
	total += n
	if !ok {
		to = target
	}
	for i := range plan {
		if plan[i].records = total - upTo[i]; !exact || !ok {
			plan[i].records = -1
		}
	}
	return to
}

// span is the range of bytes from from up to, but not including, to.
type span struct{ from, to int64 }

// needed returns what must stay, in ascending and disjoint spans: what a view has neither released nor lost, and history. Unless
// the log has ended at end, that includes everything that may have been appended since.
func (l *Log) needed(ended bool, end int64) []span {
	var all []span
	for _, v := range l.views {
		v.mu.Lock()
		at := v.released.Load()
		for _, g := range v.gaps {
			if at < g.from {
				all = append(all, span{at, g.from})
			}
			at = max(at, g.to)
		}
		v.mu.Unlock()
		if !ended || at < end {
			all = append(all, span{at, maxOffset})
		}
	}
	if h := l.history.Load(); h > 0 && end > 0 {
		all = append(all, span{max(end-h, 0), maxOffset})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var joined []span
	for _, s := range all {
		if n := len(joined); n > 0 && s.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, s.to)
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

func overlaps(spans []span, from, to int64) bool {
	for _, s := range spans {
		if s.from < to && from < s.to {
			return true
		}
	}
	return false
}

const blockSize = 4096

// punch gives back the unneeded parts of a segment that must stay, because capture still writes it or other parts are needed. It
// returns the number of bytes given back. On a file system that can't punch holes, they stay until the whole segment is removed.
func (l *Log) punch(g *segment, needed []span) int64 {
	size := g.size.Load()
	holes, total := unneeded(needed, g.base, g.base+size)
	if total-g.freed < l.spool.punchAtLeast || l.spool.noPunch.Load() {
		return 0
	}
	for _, h := range holes {
		err := g.with(func(f *os.File) error { return l.spool.disk.punch(f, h.from-g.base, h.to-h.from) })
		if err != nil {
			if unsupported(err) == nil {
				l.spool.noPunch.Store(true)
			}
			return 0
		}
	}
	gained := total - g.freed
	g.freed = total
	return gained
}

// unneeded returns the whole blocks between from and to that contain no needed byte, and their total size in bytes. from is the
// beginning of the segment, from which blocks are counted.
func unneeded(needed []span, from, to int64) (holes []span, total int64) {
	add := func(a, b int64) {
		a, b = from+roundUp(a-from), from+(b-from)/blockSize*blockSize
		if a < b {
			holes, total = append(holes, span{a, b}), total+b-a
		}
	}
	at := from
	for _, s := range needed {
		if s.from > at {
			add(at, min(s.from, to))
		}
		if at = max(at, s.to); at >= to {
			return holes, total
		}
	}
	add(at, to)
	return holes, total
}

func roundUp(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }
