// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"io"

	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/record"
)

// Frames cuts the engine's wire format (moby api/types/plugins/logdriver/io.go): a sequence of LogEntry messages, each after
// its length. Pieces of a message that was longer than the engine's buffer are joined.
//
// Bytes that are not a frame are skipped up to the next plausible length that is followed by an entry that decodes, has a time
// and is of a standard stream.
type Frames struct{ pieces }

// NewFrames returns a cutter for src. It reads bytes from stream a second time when a message of several pieces is complete. A
// joined message longer than max bytes becomes several records, all but the last marked as truncated. A message that gets no
// piece for timeout, in ns, becomes a record as it is.
func NewFrames(src *record.Source, stream io.ReaderAt, max int, timeout int64) *Frames {
	return &Frames{newPieces(frameEntry, src, stream, max, timeout)}
}

// frameEntry is the decoder of frames.
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
		// A damaged length must not make the cutter wait for bytes that may never come. What has arrived must already look
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
