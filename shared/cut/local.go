// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"io"

	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/record"
)

// Local cuts the files of Docker's log driver "local" (moby daemon/logger/local/local.go): a length, a LogEntry, and the
// same length again. It is the wire format of log drivers with a trailer.
//
// Bytes that are not a record are skipped up to the next entry that decodes between two equal lengths.
type Local struct{ pieces }

// NewLocal returns a cutter for src. Its parameters are those of NewFrames.
func NewLocal(src *record.Source, stream io.ReaderAt, max int, timeout int64) *Local {
	return &Local{newPieces(local, src, stream, max, timeout)}
}

// local is the decoder of Local.
func local(p []byte, e *entry, max int, last bool) (size int, v verdict) {
	size, v = frameEntry(p, e, max, last)
	if v != whole {
		return size, v
	}
	if len(p) < size+frame.HeaderLen {
		if !bytes.HasPrefix(p[:frame.HeaderLen], p[size:]) {
			return 0, broken
		}
		return 0, short
	}
	if !bytes.Equal(p[:frame.HeaderLen], p[size:size+frame.HeaderLen]) {
		return 0, broken
	}
	return size + frame.HeaderLen, whole
}
