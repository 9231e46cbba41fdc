// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"fmt"
	"io"

	"github.com/remora-logs/remora/shared/record"
)

// joiner puts the pieces of long messages together. The engine cuts a message into pieces of 16 KiB; all of them are
// marked partial, the last one says so, and pieces of stdout and stderr come in turn (moby daemon/logger/copier.go).
// One message can be open on each standard stream, for the engine reads each with one goroutine.
//
// A message under way is held as the places where its pieces lie. They are read again when it is complete, straight into
// the batch: so hundreds of containers halfway through a long line cost next to no memory, and a piece is copied twice
// whether or not it was held. The reader of a stream releases nothing at or after Open, so the pieces are still there.
type joiner struct {
	src     *record.Source
	stream  io.ReaderAt
	decode  decoder
	max     int   // bytes of a record
	timeout int64 // ns
	ids     bool  // this engine gives pieces an id
	open    [record.Stderr + 1]message
	err     error // of the last read
	entry   entry // of read
	skipped int64 // bytes of frames that were none any more when they were read again
	places  int64
}

// message is one that lacks its end.
type message struct {
	begun    bool
	id       []byte
	runs     []run // where its pieces are
	size     int   // bytes of text in them
	offset   int64 // of its first piece
	timeNano int64
	seen     int64 // when a piece came last
}

// run is frames of one message without others between them.
type run struct{ from, to int64 }

// keepRuns is how many runs a message may leave behind in memory: 1 MiB of stdout with stderr between all pieces has 64.
const keepRuns = 64

// add joins the piece e, whose frame begins at offset from and ends at to. A record is cut between pieces, so that what is
// open always begins with a frame and can be read again from there; only a piece that is longer than a record is cut
// itself, and then all of it is made records of at once. It reports false, and is to be called again later, where the
// stream does not give the message's earlier pieces.
func (j *joiner) add(b *record.Batch, e *entry, from, to, now int64) bool {
	m := &j.open[e.std]
	j.ids = j.ids || len(e.id) > 0
	if m.begun && !bytes.Equal(m.id, e.id) && !j.end(b, e.std, nil, false) {
		return false
	}
	if m.begun && m.size+len(e.line) > j.max && !j.end(b, e.std, nil, true) {
		return false
	}
	switch {
	case len(e.line) > j.max:
		j.split(b, e, from, to, now)
	case e.last && !m.begun:
		j.emit(b, record.Record{Line: e.line, Time: e.timeOr(now), Offset: from, Std: e.std})
	case e.last:
		return j.end(b, e.std, e.line, false)
	default:
		if !m.begun {
			m.begun, m.offset, m.timeNano, m.id = true, from, e.timeOr(now), append(m.id[:0], e.id...)
		}
		m.add(from, to, len(e.line))
		m.seen = now
	}
	return true
}

func (m *message) add(from, to int64, size int) {
	m.size += size
	if n := len(m.runs); n > 0 && m.runs[n-1].to == from {
		m.runs[n-1].to = to
	} else {
		m.runs = append(m.runs, run{from, to})
	}
}

// split makes records of a piece that is longer than one. Those behind the first have the offset of their own text.
func (j *joiner) split(b *record.Batch, e *entry, from, to, now int64) {
	for line := e.line; len(line) > 0; {
		n := cutPoint(line, j.max)
		j.emit(b, record.Record{Line: line[:n:n], Time: e.timeOr(now), Offset: from, Std: e.std,
			Truncated: n < len(line) || !e.last})
		line = line[n:]
		from = to - int64(e.tail+len(line))
	}
}

// emit makes r a record. A terminal ends lines with \r\n, of which runtimes take the \n away: neither is part of a record.
func (j *joiner) emit(b *record.Batch, r record.Record) {
	if n := len(r.Line); n > 0 && r.Line[n-1] == '\r' && !r.Truncated {
		r.Line = r.Line[:n-1]
	}
	r.Source = j.src
	b.Records = append(b.Records, r)
}

// awaitsPlainEnd says that a message is open whose last piece is not marked as one: engines before 18.06 give pieces no
// id, and mark all as partial but the last. From another engine, a piece without an id is a damaged one.
func (j *joiner) awaitsPlainEnd(std record.Std) bool {
	return j.open[std].begun && len(j.open[std].id) == 0 && !j.ids
}

// interrupt ends what is open on std: a whole message came, so the rest of the open one never will.
func (j *joiner) interrupt(b *record.Batch, std record.Std) bool {
	return !j.open[std].begun || j.end(b, std, nil, false)
}

// end makes a record of what there is of a message, and of tail behind it. It reports false, and leaves all as it is,
// where the stream does not give the pieces.
func (j *joiner) end(b *record.Batch, std record.Std, tail []byte, truncated bool) bool {
	m := &j.open[std]
	room := len(tail)
	for _, r := range m.runs {
		room += int(r.to - r.from)
	}
	line := b.Reserve(room)[:0]
	for _, r := range m.runs {
		if line, j.err = j.read(line, r); j.err != nil {
			return false
		}
	}
	line = append(line, tail...)
	b.Commit(room)
	j.emit(b, record.Record{Line: line[:len(line):len(line)], Time: m.timeNano, Offset: m.offset, Std: std, Truncated: truncated})
	*m = message{id: m.id, runs: m.runs[:0]}
	if cap(m.runs) > keepRuns {
		m.runs = nil
	}
	return true
}

// read appends the text of the pieces in r to dst, which has room for all of the run.
func (j *joiner) read(dst []byte, r run) ([]byte, error) {
	raw := dst[len(dst) : len(dst)+int(r.to-r.from)]
	for n := 0; n < len(raw); {
		got, err := j.stream.ReadAt(raw[n:], r.from+int64(n))
		if n += got; got == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			return dst, fmt.Errorf("the beginning of a long message can't be read again: %w", err)
		}
	}
	e := &j.entry
	defer func() { *e = entry{} }() // it points into dst
	for len(raw) > 0 {
		size, verdict := j.decode(raw, e, j.max, true)
		if verdict != whole { // it was, so the disk has changed it
			j.skipped += int64(len(raw))
			j.places++
			break
		}
		dst = e.appendText(dst) // which lies further back, so nothing is overwritten that is still to be read
		raw = raw[size:]
	}
	return dst, nil
}

// expire ends the messages of which no piece came for the timeout, or all of them. One that only pauses is continued in
// the next record, and marked as truncated as one is that is too long.
func (j *joiner) expire(b *record.Batch, now int64, all bool) {
	for std := range j.open {
		m := &j.open[std]
		if m.begun && (all || now-m.seen >= j.timeout) && !j.end(b, record.Std(std), nil, !all) {
			return
		}
	}
}

// oldest is the offset of the first piece of the oldest open message, or -1.
func (j *joiner) oldest() int64 {
	first := int64(-1)
	for i := range j.open {
		if m := &j.open[i]; m.begun && (first < 0 || m.offset < first) {
			first = m.offset
		}
	}
	return first
}
