// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"io"

	"github.com/remora-logs/remora/shared/record"
)

// decoder decodes the entry at the beginning of p into e, whose byte slices then point into p. max is the size limit of a
// record. last means that nothing follows p.
//
// The meaning of size depends on the verdict. For whole it is the length of the entry. For over it is the length of what
// precedes e.line, and e.line is as much of the text as p holds. For broken it is the number of bytes to skip; 0 skips one.
type decoder func(p []byte, e *entry, max int, last bool) (size int, v verdict)

// usual is a fast path for entries in the form that the runtime nearly always writes. It appends a record to b for each such
// entry at the beginning of data, up to the first entry of another form, and returns how many bytes it has consumed. The
// records are those that decoder and joiner would make. It must be called only if pieces.idle reports true.
type usual func(b *record.Batch, data []byte, at int64) int

// verdict is the result of decoding the bytes at an offset.
type verdict uint8

const (
	whole  verdict = iota // a complete entry
	short                 // possibly the beginning of an entry
	over                  // the beginning of an entry that is longer than a record
	broken                // no entry
)

// pieces cuts a stream of entries, several of which may form one message. The runtimes' formats share it and differ in their
// decoders.
type pieces struct {
	src             *record.Source
	decode          decoder
	usual           usual // nil if the format has none
	clock           clock // of usual
	join            joiner
	long            long
	entry           entry // used by Cut; a field, because a local variable would escape to the heap
	lost            bool  // skipping broken bytes up to the next plausible entry
	skipped, places int64
}

func newPieces(decode decoder, src *record.Source, stream io.ReaderAt, max int, timeout int64) pieces {
	return pieces{src: src, decode: decode,
		join: joiner{src: src, stream: stream, decode: decode, max: max, timeout: timeout}}
}

// long is an entry over the size limit. It becomes records while it is read, so none of it is held. A reader that restarts
// within it begins at its start and resends its first records under the same identities.
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

// take makes a record of the entry e, or adds e to its message if it is a piece of one. It returns false if the message's
// earlier pieces can't be read at the moment; the caller calls it again later.
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
		if len(b.Records) == records { // the piece is read again later, so its text is not kept
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

// idle reports whether the next entry does not depend on what was read before.
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

// begin starts an entry that is over the limit. resume makes records of its text. begin returns false as take does.
func (c *pieces) begin(b *record.Batch, e *entry, from, now int64) bool {
	if c.join.open[e.std].begun && !c.join.end(b, e.std, nil, true) {
		return false
	}
	c.lost = false
	c.long = long{open: true, start: from, std: e.std, time: e.timeOr(now), partial: e.partial}
	return true
}

// resume makes records of further text of the entry that begin has started. It cuts at the same offsets as if the whole
// entry had been read at once.
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
			return consumed + min(n+1, 1) // the newline, if there is one
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
