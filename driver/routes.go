// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/spool"
)

// eachRoute calls f for every declaration and every output that it goes to.
func (s *sessions) eachRoute(m *containerManifest, f func(d declare.Declaration, output string)) {
	for _, d := range m.Declarations {
		for _, output := range s.delivery.Outputs(d) {
			f(d, output)
		}
	}
}

// viewName is the name of a route's view of its log. Its first part is the group in which a new output takes over from
// another one, see spool.Resume.
func viewName(declaration, output string) string { return declaration + "/" + output }

// noOutput is the output of the views that keep what is captured while the settings are wrong.
const noOutput = ""

// logOptions is how the log of a container is kept. checkpoints are those of the log, by view; nil for a log that is new.
func (s *sessions) logOptions(m *containerManifest, checkpoints map[string]int64) spool.LogOptions {
	o := spool.LogOptions{Views: map[string]int64{}, Former: map[string]int64{},
		MaxBytes: s.settings.SpoolMaxEach, BlockTimeout: s.settings.BlockTimeout}
	o.WhenFull, _ = spool.ParsePolicy(s.settings.WhenFull) // checked when settings were read
	if m.WhenFull != "" {
		o.WhenFull, _ = spool.ParsePolicy(m.WhenFull) // checked when the container was started
	}
	if m.BlockTimeout > 0 {
		o.BlockTimeout = m.BlockTimeout
	}
	if s.settings.ReadLogs {
		o.History = s.settings.HistoryBytes
	}
	view := func(name string) {
		o.Views[name] = spool.NoCheckpoint
		if at, ok := checkpoints[name]; ok {
			o.Views[name] = at
		}
	}
	s.eachRoute(m, func(d declare.Declaration, output string) { view(viewName(d.Name, output)) })
	if s.delivery.Idle() && len(o.Views) == 0 {
		for _, d := range m.Declarations {
			view(viewName(d.Name, noOutput))
		}
	}
	for name, at := range checkpoints {
		if _, ok := o.Views[name]; !ok {
			o.Former[name] = at
		}
	}
	return o
}

// attach begins delivery of a log. While settings are wrong it waits in the spool.
func (s *sessions) attach(l *spool.Log, m *containerManifest) {
	if s.delivery.Idle() {
		return
	}
	s.eachRoute(m, func(d declare.Declaration, output string) {
		name := viewName(d.Name, output)
		v := l.View(name)
		if v == nil {
			return // delivered; kept for docker logs alone
		}
		s.setFeed(l, name, nil) // it may be done before Attach returns
		feed, err := s.delivery.Attach(deliver.Request{
			Declaration: d, Stream: v, Kind: deliver.Frames, PartialTimeout: s.settings.PartialTimeout,
			Path: declare.Stdout, Tags: m.Tags, Origin: m.Origin, Output: output, Done: func() { s.feedDone(l, name) },
		})
		if err != nil {
			s.feedDone(l, name)
			s.log.Error("failed to deliver a stream", "stream", l.Key(), "declaration", d.Name, "output", output, "error", err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.feeds[l.Key()][name]; ok {
			s.feeds[l.Key()][name] = feed
		}
	})
}

func (s *sessions) setFeed(l *spool.Log, view string, feed *pipeline.Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feeds[l.Key()] == nil {
		s.feeds[l.Key()] = map[string]*pipeline.Feed{}
	}
	s.feeds[l.Key()][view] = feed
}

func (s *sessions) feedDone(l *spool.Log, view string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.feeds[l.Key()], view); len(s.feeds[l.Key()]) == 0 {
		delete(s.feeds, l.Key())
	}
}

// detach ends the delivery of a log that the spool has removed.
func (s *sessions) detach(l *spool.Log) {
	s.mu.Lock()
	feeds := slices.Collect(maps.Values(s.feeds[l.Key()]))
	s.mu.Unlock()
	for _, f := range feeds {
		if f != nil {
			f.Detach()
		}
	}
}

// allCheckpoints are the checkpoints of all streams, by stream and view.
func (s *sessions) allCheckpoints() map[string]map[string]int64 {
	all := map[string]map[string]int64{}
	err := s.delivery.Store.Each(func(key checkpoint.Key, e checkpoint.Entry) {
		if all[key.Stream] == nil {
			all[key.Stream] = map[string]int64{}
		}
		all[key.Stream][viewName(key.Declaration, key.Output)] = e.Low
	})
	if err != nil {
		s.log.Error("failed to read checkpoints; what they cover is delivered again", "error", err)
	}
	return all
}

// storeTakenOver stores the checkpoints of views that took over from another output, so that delivery begins where that
// one was.
func (s *sessions) storeTakenOver(l *spool.Log, o spool.LogOptions) {
	put := map[checkpoint.Key]checkpoint.Entry{}
	for name, at := range o.Views {
		v := l.View(name)
		if v == nil || at != spool.NoCheckpoint || v.Released() == 0 {
			continue
		}
		cut := strings.LastIndexByte(name, '/')
		key := checkpoint.Key{Stream: l.Key(), Declaration: name[:cut], Output: name[cut+1:]}
		put[key] = checkpoint.Entry{Position: checkpoint.Position{Low: v.Released(), Done: v.Released()}}
	}
	if err := s.delivery.Store.Commit(put, nil); err != nil {
		s.log.Error("failed to store where a new output begins; it gets a gap, or what another output has got already",
			"stream", l.Key(), "error", err)
	}
}
