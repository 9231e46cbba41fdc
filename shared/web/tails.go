// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

const (
	maxViewers = 16
	// A viewer receives at most maxPerSecond records a second and holds at most maxPending bytes that were not taken.
	maxPerSecond = 1000
	maxPending   = 256 << 10
	// maxLine and maxFields bound the parts of one record that are shown, in bytes.
	maxLine, maxFields = 16 << 10, 16 << 10
	// maxChosen bounds the entries of Viewer.chosen. Logs beyond it are not shown to a viewer that wants any output.
	maxChosen = 1000
)

// Wanted selects the records of a viewer. An empty field matches any value. Container is a name as in a row, or the container's
// own name.
type Wanted struct{ Container, Declaration, Output string }

func (w *Wanted) has(s *record.Source, output string) bool {
	return (w.Container == "" || w.Container == s.Writer() || w.Container == s.Container()) &&
		(w.Declaration == "" || w.Declaration == s.Declaration) && (w.Output == "" || w.Output == output)
}

// Tails passes the records that outputs have accepted to viewers. It is safe for concurrent use.
type Tails struct {
	// SetTap is the method of a Pipeline. The tap is nil while there is no viewer.
	SetTap func(pipeline.Tap)

	mu      sync.Mutex
	viewers []*Viewer // copied on write
}

// errTooMany is the error of Open beyond maxViewers.
var errTooMany = errors.New("too many tails are open; close another")

// Open adds a viewer. The caller must close it.
func (t *Tails) Open(w Wanted) (*Viewer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.viewers) >= maxViewers {
		return nil, errTooMany
	}
	v := &Viewer{tails: t, wanted: w, ready: make(chan struct{}, 1), chosen: map[chosen]string{}}
	t.viewers = append(slices.Clone(t.viewers), v)
	t.set()
	return v, nil
}

// Close removes the viewer.
func (v *Viewer) Close() {
	t := v.tails
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewers = slices.DeleteFunc(slices.Clone(t.viewers), func(other *Viewer) bool { return other == v })
	t.set()
}

// set sets a tap for the present viewers. The caller holds t.mu.
func (t *Tails) set() {
	viewers := t.viewers
	if len(viewers) == 0 {
		t.SetTap(nil)
		return
	}
	t.SetTap(func(output string, records []record.Record, taken func(int) bool) {
		now := time.Now()
		for _, v := range viewers {
			v.offer(output, records, taken, now)
		}
	})
}

// Viewer collects records until they are taken. If that is too slow, records are missed.
type Viewer struct {
	tails  *Tails
	wanted Wanted
	ready  chan struct{} // has an element if there are events to take

	mu      sync.Mutex
	encoder record.Encoder
	pending []byte // encoded events
	missed  int64  // records left out since the last Take
	second  int64  // the Unix time to which shown belongs
	shown   int    // records shown in that second
	// chosen holds the one output whose records of a log are shown, if the viewer wants any output: otherwise each record would
	// appear once for each output.
	chosen map[chosen]string
}

type chosen struct{ writer, declaration string }

// Ready returns a channel that has an element if there are events to take.
func (v *Viewer) Ready() <-chan struct{} { return v.ready }

// Take returns the events since the last call and the number of records left out. It takes ownership of into and uses it as
// the buffer of the next events.
func (v *Viewer) Take(into []byte) (events []byte, missed int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	events, missed = v.pending, v.missed
	v.pending, v.missed = into[:0], 0
	return events, missed
}

// offer adds the records of a batch that the viewer wants and the output has accepted. Records of one source follow one another,
// so that each source is checked once.
func (v *Viewer) offer(output string, records []record.Record, taken func(int) bool, now time.Time) {
	var last *record.Source
	wanted := false
	v.mu.Lock()
	defer v.mu.Unlock()
	before := len(v.pending)
	missed := v.missed
	for i := range records {
		r := &records[i]
		if r.Source != last {
			last, wanted = r.Source, v.wants(r.Source, output)
		}
		if wanted && taken(i) {
			v.add(output, r, now.Unix())
		}
	}
	if len(v.pending) > before || v.missed > missed {
		select {
		case v.ready <- struct{}{}:
		default:
		}
	}
}

// wants reports whether the viewer wants a source's records from an output. The caller holds v.mu.
func (v *Viewer) wants(s *record.Source, output string) bool {
	if !v.wanted.has(s, output) {
		return false
	}
	if v.wanted.Output != "" {
		return true
	}
	of := chosen{s.Writer(), s.Declaration}
	known, ok := v.chosen[of]
	if !ok && len(v.chosen) < maxChosen {
		v.chosen[of], known = output, output
	}
	return known == output
}

// add appends a record, or counts it as missed if a limit is reached.
func (v *Viewer) add(output string, r *record.Record, second int64) {
	if second != v.second {
		v.second, v.shown = second, 0
	}
	size := min(len(r.Line), maxLine) + min(len(r.Fields), maxFields)
	if v.shown >= maxPerSecond || len(v.pending)+2*size+1024 > maxPending {
		v.missed++
		return
	}
	v.shown++
	v.pending = v.appendEvent(v.pending, output, r)
}

// appendEvent appends a record as a server-sent event: a JSON object on one line.
func (v *Viewer) appendEvent(dst []byte, output string, r *record.Record) []byte {
	of := *r
	shortened := len(of.Line) > maxLine || len(of.Fields) > maxFields
	if shortened {
		of.Line = of.Line[:min(len(of.Line), maxLine)]
		if len(of.Fields) > maxFields {
			of.Fields = nil
		}
	}
	dst = append(dst, `data: {"container":`...)
	dst = record.AppendString(dst, r.Source.Writer())
	dst = record.AppendString(append(dst, `,"log":`...), r.Source.Declaration)
	dst = record.AppendString(append(dst, `,"output":`...), output)
	if shortened {
		dst = append(dst, `,"shortened":true`...)
	}
	dst = v.encoder.AppendRecord(append(dst, `,"record":`...), &of)
	return append(dst, "}\n\n"...)
}
