// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
)

const (
	// followPause is how often docker logs -f looks for new lines.
	followPause = 100 * time.Millisecond
	// historyRead is how much is read at once; it holds the longest frame.
	historyRead = 2 << 20
)

// Read implements plugin.Logs: docker logs from the spool, the container's earlier starts included.
func (s *sessions) Read(ctx context.Context, info plugin.Info, c plugin.ReadConfig, w io.Writer) error {
	logs := s.logsOf(info.ContainerID)
	h := history{config: c, maxRecord: s.settings.MaxRecordBytes, batch: record.NewBatch(historyRead), out: w}
	if c.Tail >= 0 {
		h.skip = -c.Tail
		h.count = true
		for _, l := range logs {
			if err := h.read(ctx, l, false); err != nil {
				return err
			}
		}
		h.count = false
	}
	for i, l := range logs {
		if err := h.read(ctx, l, c.Follow && i == len(logs)-1); err != nil || h.past {
			return err
		}
	}
	return nil
}

// logsOf are the container's streams in the spool, by the time of their start.
func (s *sessions) logsOf(container string) []*spool.Log {
	prefix := manifest.KeyPrefix(container)
	var found []*spool.Log
	for _, l := range s.spool.Logs() {
		if l.Container() == prefix {
			found = append(found, l)
		}
	}
	return found
}

// history writes what a container wrote to one reader.
type history struct {
	config    plugin.ReadConfig
	maxRecord int
	batch     *record.Batch
	out       io.Writer
	frame     []byte

	count bool // only count lines, into skip
	skip  int  // lines to be passed over
	past  bool // a line was beyond Until: there is no need to read on
}

// read writes the lines of one stream, up to where it ends now; up to where it ends for good if follow.
func (h *history) read(ctx context.Context, l *spool.Log, follow bool) error {
	frames := h.cutter(l)
	until := l.End()
	for off := int64(0); !h.past && ctx.Err() == nil; {
		h.batch.Reset()
		data := h.batch.Free()
		n, at, err := l.Replay(data, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		ended := errors.Is(err, io.EOF)
		done := ended || !follow && at+int64(n) >= until
		torn := n < len(data) && at+int64(n) < l.End() // what follows is gone, so what is unfinished stays so
		h.batch.Keep(n)
		used := frames.Cut(h.batch, data[:n], at, time.Now().UnixNano(), done || torn)
		off = at + int64(used)
		if err := h.write(); err != nil {
			return err
		}
		if frames.Err() != nil { // the beginning of a long line was given up meanwhile
			frames = h.cutter(l)
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

func (h *history) cutter(l *spool.Log) *cut.Frames {
	return cut.NewFrames(&record.Source{}, replayReader{l}, h.maxRecord, int64(5*time.Second))
}

// replayReader reads bytes of a log that were read before.
type replayReader struct{ *spool.Log }

var errGone = errors.New("given up meanwhile")

func (a replayReader) ReadAt(p []byte, off int64) (int, error) {
	n, at, err := a.Replay(p, off)
	if at != off {
		return 0, errGone
	}
	return n, err
}

// write sends the batch's lines that were asked for.
func (h *history) write() error {
	h.frame = h.frame[:0]
	for i := range h.batch.Records {
		r := &h.batch.Records[i]
		when := time.Unix(0, r.Time)
		switch {
		case !h.config.Since.IsZero() && when.Before(h.config.Since):
			continue
		case !h.config.Until.IsZero() && when.After(h.config.Until):
			h.past = !h.count
			continue
		case h.count:
			h.skip++
			continue
		case h.skip > 0:
			h.skip--
			continue
		}
		h.frame = frame.Append(h.frame, r.Std.String(), r.Time, r.Line, !r.Truncated)
	}
	if len(h.frame) == 0 {
		return nil
	}
	_, err := h.out.Write(h.frame)
	return err
}
