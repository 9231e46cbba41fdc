// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/remora-logs/remora/shared/pipeline"
)

// maxSeries bounds the number of logs with series of their own. The others are summed under container="(others)", so that a
// node with thousands of short-lived containers does not flood its Prometheus.
const maxSeries = 500

const others = "(others)"

// labels identify a series of logs.
type labels struct{ container, declaration, output string }

// series is the sum of all logs with the same labels.
type series struct {
	labels
	counts     pipeline.Counts
	lagBytes   int64
	lagSeconds float64
}

func (s *series) add(c *pipeline.Counts, lagBytes int64, lagSeconds float64) {
	s.counts.Add(*c)
	s.lagBytes += lagBytes
	s.lagSeconds = max(s.lagSeconds, lagSeconds)
}

// Exposition writes the metrics of one process, any number of times. It remembers which logs have series of their own: if logs
// moved between these and the others, the counters of both would jump, or fall, which reads as a restart.
type Exposition struct {
	mu     sync.Mutex
	own    map[labels]struct{}
	among  map[labels]pipeline.Counts // logs among the others: their counts as of the last time
	others map[string]pipeline.Counts // by output: what these have counted since they joined the others
}

// series sums the logs that have the same labels. The first maxSeries, on the first call those with the most bytes read, have
// series of their own as long as there is such a log. The others are summed by output.
func (e *Exposition) series(s *Snapshot) []series {
	all := sum(s)
	e.mu.Lock()
	defer e.mu.Unlock()
	own, among := make(map[labels]struct{}, len(all)), map[labels]pipeline.Counts{}
	for i := range all {
		if _, ok := e.own[all[i].labels]; ok {
			own[all[i].labels] = struct{}{}
		}
	}
	kept, rest := all[:0], map[string]*series{}
	for _, of := range all {
		_, was := own[of.labels]
		if _, summed := e.among[of.labels]; was || !summed && len(own) < maxSeries {
			own[of.labels] = struct{}{}
			kept = append(kept, of)
			continue
		}
		among[of.labels] = of.counts
		e.count(of.output, of.counts, e.among[of.labels])
		if rest[of.output] == nil {
			rest[of.output] = &series{labels: labels{others, others, of.output}}
		}
		rest[of.output].add(&of.counts, of.lagBytes, of.lagSeconds)
	}
	e.own, e.among = own, among
	for output := range e.others {
		if rest[output] == nil {
			rest[output] = &series{labels: labels{others, others, output}}
		}
	}
	for _, output := range slices.Sorted(maps.Keys(rest)) {
		counted := e.others[output]
		counted.CopyGauges(&rest[output].counts)
		rest[output].counts = counted
		kept = append(kept, *rest[output])
	}
	return kept
}

// count adds to the others of an output what one of them has counted since the last time.
func (e *Exposition) count(output string, now, before pipeline.Counts) {
	if e.others == nil {
		e.others = map[string]pipeline.Counts{}
	}
	of := e.others[output]
	of.Add(now.Since(before))
	e.others[output] = of
}

// sum returns the series of all logs, those with the most bytes read first.
func sum(s *Snapshot) []series {
	index := make(map[labels]int, len(s.Logs))
	var all []series
	for i := range s.Logs {
		l := &s.Logs[i]
		key := labels{l.Container, l.Declaration, l.Output}
		at, ok := index[key]
		if !ok {
			at = len(all)
			index[key] = at
			all = append(all, series{labels: key})
		}
		all[at].counts.Add(l.before)
		all[at].add(&l.Counts, l.LagBytes, l.LagSeconds)
	}
	for i := range s.ended { // a sum must not fall while a log with the same labels lives
		p := &s.ended[i]
		if at, ok := index[labels{p.Container, p.Declaration, p.Output}]; ok {
			all[at].counts.Add(p.Counts)
		}
	}
	slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(b.counts.ReadBytes, a.counts.ReadBytes) })
	return all
}
