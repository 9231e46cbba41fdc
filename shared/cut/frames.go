// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"encoding/binary"
	"io"

	"github.com/remora-logs/remora/shared/record"
)

// maxFrame bounds the length that a frame may claim. The engine cuts messages at 16 KiB (moby
// daemon/logger/copier.go, defaultBufSize) and adds some hundred bytes; attributes of the log line may come on top.
const maxFrame = 1 << 20

// headerLen is the length of what precedes each entry: a big-endian uint32, the entry's length.
const headerLen = 4

// Frames cuts the engine's wire format (moby api/types/plugins/logdriver/io.go): a length and a LogEntry, again and
// again. Pieces of a message that was longer than the engine's buffer are joined.
//
// Bytes that are no frame are skipped up to the next place where a plausible length stands before an entry that decodes
// and is of a standard stream.
type Frames struct {
	src             *record.Source
	join            joiner
	lost            bool // looking for the next frame
	skipped, places int64
}

// NewFrames makes a cutter for src, whose bytes stream gives once more when a message of several pieces is complete. A
// joined message has at most max bytes; what is longer comes as several records, all but the last marked as truncated. A
// message of which no piece came for timeout (ns) becomes a record as it stands.
func NewFrames(src *record.Source, stream io.ReaderAt, max int, timeout int64) *Frames {
	return &Frames{src: src, join: joiner{src: src, stream: stream, max: max, timeout: timeout}}
}

// Cut implements Cutter. A record's line lies in data, without a copy, unless it was joined.
func (f *Frames) Cut(b *record.Batch, data []byte, at, now int64, last bool) int {
	pos := 0
	f.join.err = nil
	var e entry
	for len(data)-pos > 0 {
		rest := data[pos:]
		size, verdict := frame(rest, &e)
		if verdict == whole && f.lost && !e.plausible() {
			verdict = broken
		}
		if verdict == short && last {
			verdict = broken
		}
		switch verdict {
		case whole:
			f.lost = false
			if e.partial || len(e.line) > f.join.max || f.join.awaitsPlainEnd(e.std) {
				e.last = e.last || !e.partial
				if !f.join.add(b, &e, at+int64(pos), at+int64(pos+size), now) {
					return pos
				}
			} else {
				if !f.join.interrupt(b, e.std) {
					return pos
				}
				b.Records = append(b.Records, record.Record{Line: e.line, Source: f.src, Time: e.timeOr(now),
					Offset: at + int64(pos), Std: e.std})
			}
			pos += size
		case short:
			return pos
		case broken:
			if !f.lost {
				f.lost = true
				f.places++
			}
			f.skipped++
			pos++
		}
	}
	if last {
		f.join.expire(b, 0, true)
	}
	return pos
}

// Open implements Cutter.
func (f *Frames) Open() int64 { return f.join.oldest() }

// Expire implements Cutter.
func (f *Frames) Expire(b *record.Batch, now int64) {
	f.join.err = nil
	f.join.expire(b, now, false)
}

// Err implements Cutter.
func (f *Frames) Err() error { return f.join.err }

// Skipped implements Cutter.
func (f *Frames) Skipped() (bytes, places int64) {
	return f.skipped + f.join.skipped, f.places + f.join.places
}

// verdict is what the bytes at some place turned out to be.
type verdict uint8

const (
	whole  verdict = iota // a frame
	short                 // what may become one when more bytes come
	broken                // none
)

// frame decodes the frame at the beginning of p into e, whose byte slices then point into p.
func frame(p []byte, e *entry) (size int, v verdict) {
	if len(p) < headerLen {
		return 0, short
	}
	n := binary.BigEndian.Uint32(p)
	if n == 0 || n > maxFrame {
		return 0, broken
	}
	size = headerLen + int(n)
	if len(p) < size {
		// A damaged length must not make us wait for bytes that will be long in coming: what is here already has to look
		// like the beginning of an entry of that length.
		if e.decode(p[headerLen:], int(n)) == broken {
			return 0, broken
		}
		return 0, short
	}
	if !e.common(p[headerLen:size]) && e.decode(p[headerLen:size], int(n)) != whole {
		return 0, broken
	}
	return size, whole
}
