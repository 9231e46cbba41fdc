// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
)

// eachRoute calls f for every declaration and every output that it goes to. An output that was configured when the
// container was started, and is not any more, gets nothing.
func (s *sessions) eachRoute(j *manifest.Manifest, f func(d declare.Declaration, output string)) {
	for _, d := range j.Declarations {
		for _, output := range s.settings.Outputs {
			if len(d.Outputs) == 0 || slices.Contains(d.Outputs, output) {
				f(d, output)
			}
		}
	}
}

// viewName is the name of a route's view of its log.
func viewName(d declare.Declaration, output string) string { return d.Name + "/" + output }

// logOptions is how the journal's log is kept. Its views begin at their checkpoints; checkpoints is nil for a log that
// is new.
func (s *sessions) logOptions(j *manifest.Manifest, checkpoints func(checkpoint.Key) int64) spool.LogOptions {
	o := spool.LogOptions{Views: map[string]int64{}, MaxBytes: s.settings.SpoolMaxEach, BlockTimeout: s.settings.BlockTimeout}
	o.WhenFull, _ = spool.ParsePolicy(s.settings.WhenFull) // checked when settings were read
	if j.WhenFull != "" {
		o.WhenFull, _ = spool.ParsePolicy(j.WhenFull) // checked when the container was started
	}
	if j.BlockTimeout > 0 {
		o.BlockTimeout = j.BlockTimeout
	}
	if s.settings.ReadLogs {
		o.History = s.settings.HistoryBytes
	}
	s.eachRoute(j, func(d declare.Declaration, output string) {
		o.Views[viewName(d, output)] = 0
		if checkpoints != nil {
			key := checkpoint.Key{Stream: manifest.Key(j.Container, j.Started), Declaration: d.Name, Output: output}
			o.Views[viewName(d, output)] = checkpoints(key)
		}
	})
	return o
}

// attach begins delivery of a log.
func (s *sessions) attach(l *spool.Log, j *manifest.Manifest) {
	s.eachRoute(j, func(d declare.Declaration, output string) {
		v := l.View(viewName(d, output))
		if v == nil {
			return // delivered; kept for docker logs alone
		}
		var tags []record.Tag
		for key, value := range d.Tags {
			tags = append(tags, record.Tag{Key: key, Value: value})
		}
		slices.SortFunc(tags, func(a, b record.Tag) int { return strings.Compare(a.Key, b.Key) })
		src := record.NewSource(l.Key(), d.Name, declare.Stdout, d.Target, append(tags, j.Tags...), j.Origin)
		_, err := s.pipeline.Attach(pipeline.Route{
			Stream: v, Source: src, Output: output,
			Open: func() (cut.Cutter, *format.Chain, error) {
				chain, err := format.New(d, src, s.log)
				if err != nil { // the dialect lets nothing through that can't be built, so this is a newer journal
					s.log.Error("declaration can't be followed; its lines are delivered as they are", "stream", l.Key(),
						"declaration", d.Name, "error", err)
				}
				return cut.NewFrames(src, v, s.settings.MaxRecordBytes, s.settings.PartialTimeout.Nanoseconds()), chain, nil
			},
		})
		if err != nil {
			s.log.Error("stream can't be delivered", "stream", l.Key(), "declaration", d.Name, "output", output, "error", err)
		}
	})
}

// resume goes on with what an earlier process left: reads on from FIFOs that still exist, and delivers the rest of those
// that don't.
func (s *sessions) resume() {
	defer close(s.resumed)
	stored, err := s.spool.Stored()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("not all of the spool can be read", "error", err)
	}
	for _, found := range stored {
		j, err := manifest.Decode(found.Journal)
		if err == nil {
			err = s.resumeOne(found, j)
		}
		if err != nil {
			s.log.Error("stream left by an earlier process can't be resumed", "stream", found.Key, "error", err)
		}
	}
	if len(stored) > 0 {
		s.log.Info("resumed the streams of an earlier process", "streams", len(stored), "captures", s.count())
	}
}

func (s *sessions) resumeOne(found spool.Stored, j *manifest.Manifest) error {
	l, err := s.spool.Resume(found.Key, s.logOptions(j, func(key checkpoint.Key) int64 {
		key.Stream = found.Key
		e, _, err := s.store.Load(key)
		if err != nil {
			s.log.Error("checkpoint can't be read; its stream is delivered again", "checkpoint", key.String(), "error", err)
		}
		return e.Low
	}))
	if err != nil {
		return err
	}
	if !found.Ended {
		name := filepath.Base(j.File)
		if s.reserve(name) {
			if err := s.capture(name, j.File, l, true, nil); err != nil {
				s.forget(name)
				s.log.Warn("a container's FIFO is gone; what was stored of it is delivered, what it writes from now on is not",
					"stream", found.Key, "container", j.Container, "error", err)
				l.Finish()
			}
		}
	}
	s.attach(l, j)
	return nil
}
