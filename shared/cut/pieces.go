// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"io"

	"github.com/remora-logs/remora/shared/record"
)

// decoder reads the entry at the beginning of p into e, whose byte slices then point into p. max is the size limit of a
// record; last says that nothing follows p.
//
// Of a whole entry, size is its length. Of one that is over the limit and whose end is not in p yet, it is the length of
// what precedes e.line, and e.line is as much of the text as p holds. Of broken bytes it is how many of them to skip, at
// least one where it is 0.
type decoder func(p []byte, e *entry, max int, last bool) (size int, v verdict)

// usual appends to b a record of each entry at the beginning of data that is as the runtime writes nearly all of them, and
// returns how many bytes these are. It does nothing but what decoder and joiner would do with the same bytes, in less time, and
// stops at the first entry that it leaves to them. Nothing may be open or lost.
type usual func(b *record.Batch, data []byte, at int64) int

// verdict is what the bytes at some place turned out to be.
type verdict uint8

const (
	whole  verdict = iota // an entry
	short                 // what may become one when more bytes come
	over                  // an entry that is longer than a record, and whose end has not come
	broken                // none
)

// pieces cuts a stream of entries of which several may make one message. It is the part that the runtimes' formats share;
// they differ in their decoder.
type pieces struct {
	src             *record.Source
	decode          decoder
	usual           usual // nil where there is none
	clock           clock // of usual
	join            joiner
	long            long
	entry           entry // of Cut; here, because the decoder would make it escape to the heap at each call
	lost            bool  // looking for the next entry
	skipped, places int64
}

func newPieces(decode decoder, src *record.Source, stream io.ReaderAt, max int, timeout int64) pieces {
	return pieces{src: src, decode: decode,
		join: joiner{src: src, stream: stream, decode: decode, max: max, timeout: timeout}}
}

// long is an entry over the size limit, which is made records of while it comes. Only the last of these needs the
// entry's end, so nothing of it is held. A reader that restarts within it begins at its start, and sends the first ones
// again, under the same identities.
type long struct {
	open    bool
	begun   bool  // a record was made of it
	start   int64 // offset of the entry
	std     record.Std
	time    int64
	partial bool
}

// Cut implements Cutter. A record's line lies in data, without a copy, unless it was joined or unescaped.
func (c *pieces) Cut(b *record.Batch, data []byte, at, now int64, last bool) int {
	pos := 0
	c.join.err = nil
	e := &c.entry
	defer func() { *e = entry{} }() // it points into b
	for pos < len(data) {
		if c.long.open {
			n := c.resume(b, data[pos:], at+int64(pos), last)
			if pos += n; n == 0 || c.long.open {
				return pos
			}
			continue
		}
		if c.usual != nil && c.idle() {
			if pos += c.usual(b, data[pos:], at+int64(pos)); pos == len(data) {
				break
			}
		}
		size, verdict := c.decode(data[pos:], e, c.join.max, last)
		switch {
		case c.lost && !e.plausible() && (verdict == whole || verdict == over), verdict == short && last:
			size, verdict = 0, broken
		}
		switch verdict {
		case whole:
			c.lost = false
			if !c.take(b, e, at+int64(pos), int64(size), now) {
				return pos
			}
			pos += size
		case over:
			if !c.begin(b, e, at+int64(pos), now) {
				return pos
			}
			pos += size
		case short:
			return pos
		case broken:
			pos += c.skip(max(size, 1))
		}
	}
	if last {
		c.join.expire(b, 0, true)
	}
	return pos
}

// take makes a record of the entry e, or adds it to the message that it is a piece of. It reports false, and is to be
// called again later, where the stream does not give the message's earlier pieces.
func (c *pieces) take(b *record.Batch, e *entry, from, size, now int64) bool {
	arena, records := len(b.Arena), len(b.Records)
	if e.escaped {
		b.Arena = e.appendText(b.Arena)
		e.line, e.escaped = b.Arena[arena:len(b.Arena):len(b.Arena)], false
	}
	if e.last || !e.partial {
		e.trimReturn()
	}
	if e.partial || len(e.line) > c.join.max || c.join.awaitsPlainEnd(e.std) {
		e.last = e.last || !e.partial
		ok := c.join.add(b, e, from, from+size, now)
		if len(b.Records) == records { // a piece that is read again later: its text is not needed now
			b.Arena = b.Arena[:arena]
		}
		return ok
	}
	if !c.join.interrupt(b, e.std) {
		return false
	}
	c.join.emit(b, record.Record{Line: e.line, Time: e.timeOr(now), Offset: from, Std: e.std})
	return true
}

// idle reports whether nothing that was read before has to do with what follows.
func (c *pieces) idle() bool {
	return !c.lost && !c.long.open && !c.join.open[record.Stdout].begun && !c.join.open[record.Stderr].begun
}

func (c *pieces) skip(n int) int {
	if !c.lost {
		c.lost = true
		c.places++
	}
	c.skipped += int64(n)
	return n
}

// begin starts on an entry that is over the limit: its text is made records of as it comes.
func (c *pieces) begin(b *record.Batch, e *entry, from, now int64) bool {
	if c.join.open[e.std].begun && !c.join.end(b, e.std, nil, true) {
		return false
	}
	c.lost = false
	c.long = long{open: true, start: from, std: e.std, time: e.timeOr(now), partial: e.partial}
	return true
}

// resume makes records of the text of the entry that is open. A record is cut where it would be if all of the entry had
// come at once.
func (c *pieces) resume(b *record.Batch, p []byte, at int64, last bool) (consumed int) {
	n := bytes.IndexByte(p, '\n')
	ends := n >= 0 || last
	text := p
	if n >= 0 {
		text = p[:n]
	}
	for len(text) > c.join.max || ends {
		size := cutPoint(text, c.join.max)
		r := record.Record{Line: text[:size:size], Time: c.long.time, Offset: at + int64(consumed), Std: c.long.std,
			Truncated: size < len(text) || c.long.partial}
		if !c.long.begun {
			r.Offset, c.long.begun = c.long.start, true
		}
		c.join.emit(b, r)
		text, consumed = text[size:], consumed+size
		if len(text) == 0 && ends {
			c.long = long{}
			return consumed + min(n+1, 1) // the newline, where there is one
		}
	}
	return consumed
}

// Open implements Cutter.
func (c *pieces) Open() int64 {
	at := c.join.oldest()
	if c.long.open && (at < 0 || c.long.start < at) {
		at = c.long.start
	}
	return at
}

// Expire implements Cutter.
func (c *pieces) Expire(b *record.Batch, now int64) {
	c.join.err = nil
	c.join.expire(b, now, false)
}

// Err implements Cutter.
func (c *pieces) Err() error { return c.join.err }

// Skipped implements Cutter.
func (c *pieces) Skipped() (bytes, places int64) {
	return c.skipped + c.join.skipped, c.places + c.join.places
}
