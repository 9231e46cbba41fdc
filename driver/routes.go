// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// eachRoute calls f for every declaration and every output that it goes to.
func (s *sessions) eachRoute(j *manifest.Manifest, f func(d declare.Declaration, output string)) {
	for _, d := range j.Declarations {
		for _, output := range s.delivery.Outputs(d) {
			f(d, output)
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

// attach begins delivery of a log. While settings are wrong it waits in the spool.
func (s *sessions) attach(l *spool.Log, j *manifest.Manifest) {
	if s.delivery.Idle() {
		return
	}
	s.eachRoute(j, func(d declare.Declaration, output string) {
		v := l.View(viewName(d, output))
		if v == nil {
			return // delivered; kept for docker logs alone
		}
		_, err := s.delivery.Attach(deliver.Request{
			Declaration: d, Stream: v, Kind: deliver.Frames, PartialTimeout: s.settings.PartialTimeout,
			Path: declare.Stdout, Tags: j.Tags, Origin: j.Origin, Output: output,
		})
		if err != nil {
			s.log.Error("failed to deliver a stream", "stream", l.Key(), "declaration", d.Name, "output", output, "error", err)
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
		e, _, err := s.delivery.Store.Load(key)
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
