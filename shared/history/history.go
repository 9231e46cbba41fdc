// SPDX-License-Identifier: Apache-2.0

// Package history reads a container's log from the spool: records that wait for delivery, and those that are kept after it.
package history

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// followPause is how often a following reader looks for new lines.
	followPause = 100 * time.Millisecond
	// readSize is the number of bytes read at once. It holds the longest frame.
	readSize = 2 << 20
)

// Log is one stream of a spool. Replay and End are as in spool.Log.
type Log interface {
	Replay(p []byte, off int64) (n int, at int64, err error)
	End() int64
}

// Query selects lines.
type Query struct {
	// Since and Until bound a line's time; zero means no bound.
	Since, Until time.Time
	// Tail is how many of the last lines to return; negative for all.
	Tail int
	// Follow waits for further lines of the last log until it ends.
	Follow bool
}

// Reader reads the lines of a container's logs.
type Reader[L Log] struct {
	// Cutter returns a new cutter for a log.
	Cutter func(L) cut.Cutter
	// Write receives the selected lines. The records are valid until it returns.
	Write func([]record.Record) error

	query Query
	batch *record.Batch
	count bool // only count lines, into skip
	skip  int  // lines still to be skipped
	past  bool // a line was after Until: reading stops
}

// Read passes to Write the lines of logs that q selects. logs are ordered by the time of their start. Read returns nil when ctx
// ends.
func (r *Reader[L]) Read(ctx context.Context, logs []L, q Query) error {
	r.query, r.batch, r.skip, r.past = q, record.NewBatch(readSize), 0, false
	if q.Tail >= 0 {
		r.skip, r.count = -q.Tail, true
		for _, l := range logs {
			if err := r.read(ctx, l, false); err != nil {
				return err
			}
		}
		r.count = false
	}
	for i, l := range logs {
		if err := r.read(ctx, l, q.Follow && i == len(logs)-1); err != nil || r.past {
			return err
		}
	}
	return nil
}

// read writes the lines of one log, up to its present end or, if follow is set, until the log ends.
func (r *Reader[L]) read(ctx context.Context, l L, follow bool) error {
	cutter := r.Cutter(l)
	until := l.End()
	for off := int64(0); !r.past && ctx.Err() == nil; {
		r.batch.Reset()
		data := r.batch.Free()
		n, at, err := l.Replay(data, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended := errors.Is(err, io.EOF)
		done := ended || !follow && at+int64(n) >= until
		torn := n < len(data) && at+int64(n) < l.End() // what follows is discarded, so that an unfinished line stays unfinished
		r.batch.Keep(n)
		used := cutter.Cut(r.batch, data[:n], at, time.Now().UnixNano(), done || torn)
		off = at + int64(used)
		if err := r.write(); err != nil {
			return err
		}
		if cutter.Err() != nil { // the beginning of a long line was discarded meanwhile
			cutter = r.Cutter(l)
			continue
		}
		if done {
			return nil
		}
		if used == 0 && !torn {
			if !follow {
				return nil
			}
			select {
			case <-ctx.Done():
			case <-time.After(followPause):
			}
		}
	}
	return nil
}

// write passes the selected lines of the batch to Write, or counts them.
func (r *Reader[L]) write() error {
	wanted := r.batch.Records[:0]
	for _, line := range r.batch.Records {
		when := time.Unix(0, line.Time)
		switch {
		case !r.query.Since.IsZero() && when.Before(r.query.Since):
		case !r.query.Until.IsZero() && when.After(r.query.Until):
			r.past = !r.count
		case r.count:
			r.skip++
		case r.skip > 0:
			r.skip--
		default:
			wanted = append(wanted, line)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return r.Write(wanted)
}

var errGone = errors.New("given up meanwhile")

// ReaderAt lets a cutter read bytes of a log again.
type ReaderAt struct{ Log Log }

// ReadAt implements io.ReaderAt. It fails if the bytes were discarded.
func (r ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, at, err := r.Log.Replay(p, off)
	switch {
	case at != off:
		return 0, errGone
	case n == len(p):
		return n, nil
	}
	return n, err
}
