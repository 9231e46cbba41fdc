// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// limits holds the limits that Loki has reported. Records beyond them are pushed apart from the others, so that a batch with
// some of them needs no search.
type limits struct {
	mu      sync.Mutex
	size    int           // of a line; 0 if not known
	age     time.Duration // of an entry; 0 if not known
	learned time.Time
}

// believe is how long a limit is assumed to hold without being reported again.
const believe = 10 * time.Minute

func (l *limits) learn(c complaint, now time.Time) {
	if c.size == 0 && !c.byAge {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.size > 0 {
		l.size = c.size
	}
	if c.byAge {
		l.age = now.Sub(c.oldest)
	}
	l.learned = now
}

func (l *limits) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size, l.age = 0, 0
}

// divide divides index into records within the limits and records beyond them.
func (l *limits) divide(records []record.Record, index []int, now time.Time) (good, bad []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size == 0 && l.age == 0 || now.Sub(l.learned) > believe {
		return index, nil
	}
	var oldest int64
	if l.age > 0 {
		oldest = now.Add(-l.age).UnixNano()
	}
	for _, i := range index {
		if r := &records[i]; l.size > 0 && lineSize(r) > l.size || r.Time < oldest {
			bad = append(bad, i)
		} else {
			good = append(good, i)
		}
	}
	return good, bad
}

// lineSize returns the length of the entry's line.
func lineSize(r *record.Record) int {
	if r.Line == nil {
		return len(r.Fields) + 2
	}
	return len(r.Line)
}

// divide divides index by whether the complaint is about the record. Loki truncates the time that it reports to seconds.
func (c *complaint) divide(records []record.Record, index []int, stamp func(r *record.Record) int64) (bad, good []int) {
	for _, i := range index {
		r := &records[i]
		if c.size > 0 && lineSize(r) > c.size || !c.oldest.IsZero() && stamp(r) < c.oldest.UnixNano() {
			bad = append(bad, i)
		} else {
			good = append(good, i)
		}
	}
	return bad, good
}
