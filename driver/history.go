// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"time"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/history"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
)

// Read implements plugin.Logs. It serves docker logs from the spool, including the container's earlier starts.
func (s *sessions) Read(ctx context.Context, info plugin.Info, c plugin.ReadConfig, w io.Writer) error {
	var frames []byte
	r := history.Reader[*spool.Log]{
		Cutter: func(l *spool.Log) cut.Cutter {
			return cut.NewFrames(&record.Source{}, history.ReaderAt{Log: l}, s.settings.MaxRecordBytes, int64(5*time.Second))
		},
		Write: func(lines []record.Record) error {
			frames = frames[:0]
			for i := range lines {
				frames = frame.Append(frames, lines[i].Std.String(), lines[i].Time, lines[i].Line, !lines[i].Truncated)
			}
			_, err := w.Write(frames)
			return err
		},
	}
	return r.Read(ctx, s.logsOf(info.ContainerID), history.Query{Since: c.Since, Until: c.Until, Tail: c.Tail, Follow: c.Follow})
}

// logsOf returns the container's streams in the spool, ordered by the time of their start.
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
