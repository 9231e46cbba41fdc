// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"maps"
	"slices"
	"strings"
)

// group returns the part of a view's name before its last slash, which readers of the same records share.
func group(view string) string { return view[:max(strings.LastIndexByte(view, '/'), 0)] }

// takeOver gives each view without a checkpoint the position and the gaps of the reader of its group that is furthest behind.
// Readers with gaps and no checkpoint have acknowledged nothing, so they are at the beginning. A view that was opened at the
// checkpoint of a former reader gets the gaps of that reader.
func (l *Log) takeOver() {
	for _, v := range l.views {
		if len(v.gaps) > 0 {
			continue
		}
		others := l.readersBeside(v)
		names := slices.Sorted(maps.Keys(others))
		if !v.fromStart() {
			names = slices.DeleteFunc(names, func(name string) bool {
				return l.View(name) != nil || others[name] != v.released.Load()
			})
		}
		if len(names) == 0 {
			continue
		}
		slowest := slices.MinFunc(names, func(a, b string) int { return int(min(max(others[a]-others[b], -1), 1)) })
		v.start(max(others[slowest], 0))
		v.gaps = slices.DeleteFunc(l.gapsOf(slowest), func(g gap) bool { return g.to <= v.released.Load() })
	}
}

// readersBeside returns the other readers of the view's group that have a checkpoint or gaps, and their positions.
func (l *Log) readersBeside(v *View) map[string]int64 {
	found := map[string]int64{}
	add := func(name string, at int64) {
		if name != v.name && group(name) == group(v.name) {
			found[name] = at
		}
	}
	for _, e := range l.otherGaps {
		add(e.View, 0)
	}
	for name, at := range l.opt.Former {
		add(name, at)
	}
	for name, at := range l.opt.Views {
		if at >= 0 {
			add(name, at)
		}
	}
	return found
}

// gapsOf returns the gaps of a reader, whether the log is opened with it or not.
func (l *Log) gapsOf(reader string) (gaps []gap) {
	if v := l.View(reader); v != nil {
		return slices.Clone(v.gaps)
	}
	for _, e := range l.otherGaps {
		if e.View == reader {
			gaps = append(gaps, e.gap())
		}
	}
	sortGaps(gaps)
	return gaps
}
