// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"fmt"
	"io"

	"github.com/remora-logs/remora/shared/record"
)

// joiner joins the pieces of long messages. The engine cuts a message into pieces of 16 KiB. All of them are marked as
// partial, the last one as the last, and pieces of stdout and stderr may alternate (moby daemon/logger/copier.go). Each
// standard stream has at most one open message, because the engine reads each with one goroutine.
//
// Only the offsets of an open message's pieces are held. When the message is complete, the pieces are read again, straight
// into the batch. So hundreds of containers halfway through a long line cost next to no memory. The pieces are still there,
// because the reader of a stream releases nothing at or after Open.
type joiner struct {
	src     *record.Source
	stream  io.ReaderAt
	decode  decoder
	max     int   // bytes of a record
	timeout int64 // ns
	ids     bool  // the engine gives pieces an id
	open    [record.Stderr + 1]message
	err     error // of the last read
	entry   entry // used by read
	skipped int64 // bytes that no longer decoded when they were read again
	places  int64
}

// message is an open message: its end has not been read.
type message struct {
	begun    bool
	id       []byte
	runs     []run // where its pieces are
	size     int   // bytes of text in them
	offset   int64 // of its first piece
	timeNano int64
	seen     int64 // when the last piece came, in ns
}

// run is a range of the stream that holds frames of one message only.
type run struct{ from, to int64 }

// keepRuns bounds the capacity that is kept for the runs of the next message: 1 MiB of stdout with stderr between all pieces
// has 64 runs.
const keepRuns = 64

// add adds the piece e, whose frame begins at offset from and ends at to. Records are cut between pieces, so that an open
// message always begins with a frame and can be read again from there. Only a piece that is longer than a record is itself
// cut, and becomes records at once. add returns false if the message's earlier pieces can't be read at the moment; the
// caller calls it again later.
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

// split makes records of a piece that is longer than a record. Each after the first has the offset of its own text.
func (j *joiner) split(b *record.Batch, e *entry, from, to, now int64) {
	for line := e.line; len(line) > 0; {
		n := cutPoint(line, j.max)
		j.emit(b, record.Record{Line: line[:n:n], Time: e.timeOr(now), Offset: from, Std: e.std,
			Truncated: n < len(line) || !e.last})
		line = line[n:]
		from = to - int64(e.tail+len(line))
	}
}

// emit appends r to the batch. A terminal ends lines with \r\n, of which runtimes strip the \n; emit strips the \r.
func (j *joiner) emit(b *record.Batch, r record.Record) {
	if n := len(r.Line); n > 0 && r.Line[n-1] == '\r' && !r.Truncated {
		r.Line = r.Line[:n-1]
	}
	r.Source = j.src
	b.Records = append(b.Records, r)
}

// awaitsPlainEnd reports whether a message is open whose last piece will not be marked as partial. Engines before 18.06 give
// pieces no id and mark all but the last as partial. In the output of another engine, a piece without an id is damaged.
func (j *joiner) awaitsPlainEnd(std record.Std) bool {
	return j.open[std].begun && len(j.open[std].id) == 0 && !j.ids
}

// interrupt ends the open message of std, because a whole message has followed it.
func (j *joiner) interrupt(b *record.Batch, std record.Std) bool {
	return !j.open[std].begun || j.end(b, std, nil, false)
}

// end makes a record of the pieces of a message, followed by tail. If they can't be read it returns false and changes
// nothing but err.
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

// read appends the text of the pieces in r to dst, whose capacity must hold the whole run.
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
		dst = e.appendText(dst) // it ends before raw, because a text is shorter than its frame
		raw = raw[size:]
	}
	return dst, nil
}

// expire ends the messages without a new piece for the timeout, or all of them. The record of one that has timed out is
// marked as truncated, because the next record may continue it.
func (j *joiner) expire(b *record.Batch, now int64, all bool) {
	for std := range j.open {
		m := &j.open[std]
		if m.begun && (all || now-m.seen >= j.timeout) && !j.end(b, record.Std(std), nil, !all) {
			return
		}
	}
}

// oldest returns the offset of the oldest open message, or -1 if there is none.
func (j *joiner) oldest() int64 {
	first := int64(-1)
	for i := range j.open {
		if m := &j.open[i]; m.begun && (first < 0 || m.offset < first) {
			first = m.offset
		}
	}
	return first
}
