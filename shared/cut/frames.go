// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"io"

	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/record"
)

// Frames cuts the engine's wire format (moby api/types/plugins/logdriver/io.go): a length and a LogEntry, again and
// again. Pieces of a message that was longer than the engine's buffer are joined.
//
// Bytes that are no frame are skipped up to the next place where a plausible length precedes an entry that decodes
// and is of a standard stream.
type Frames struct{ pieces }

// NewFrames makes a cutter for src, whose bytes stream gives once more when a message of several pieces is complete. A
// joined message has at most max bytes; what is longer comes as several records, all but the last marked as truncated. A
// message of which no piece came for timeout (ns) becomes a record as it is.
func NewFrames(src *record.Source, stream io.ReaderAt, max int, timeout int64) *Frames {
	return &Frames{newPieces(frameEntry, src, stream, max, timeout)}
}

// frameEntry decodes the frame at the beginning of p: it is a decoder.
func frameEntry(p []byte, e *entry, _ int, _ bool) (size int, v verdict) {
	if len(p) < frame.HeaderLen {
		return 0, short
	}
	n, ok := frame.Len(p)
	if !ok {
		return 0, broken
	}
	size = frame.HeaderLen + n
	if len(p) < size {
		// A damaged length must not make us wait for bytes that will be long in coming: what is here already has to look
		// like the beginning of an entry of that length.
		if e.decode(p[frame.HeaderLen:], n) == broken {
			return 0, broken
		}
		return 0, short
	}
	if !e.common(p[frame.HeaderLen:size]) && e.decode(p[frame.HeaderLen:size], n) != whole {
		return 0, broken
	}
	return size, whole
}
