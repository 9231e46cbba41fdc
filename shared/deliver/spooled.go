// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Spooled delivers the logs of a spool, each through a view for every declaration and output.
type Spooled struct {
	delivery       *Delivery
	kind           Kind
	partialTimeout time.Duration

	checkpoints map[string]map[string]int64 // offsets of an earlier process, by log and view

	mu      sync.Mutex                           // guards the fields below
	feeds   map[string]map[string]*pipeline.Feed // of views that are not done, by log and view; nil until attached
	writers map[string]Writer                    // of logs that are not done, by log
}

// Spooled returns a Spooled for the logs of one spool, whose bytes are of that kind.
func (d *Delivery) Spooled(kind Kind, partialTimeout time.Duration) *Spooled {
	return &Spooled{delivery: d, kind: kind, partialTimeout: partialTimeout, checkpoints: d.spoolCheckpoints(),
		feeds: map[string]map[string]*pipeline.Feed{}, writers: map[string]Writer{}}
}

func (d *Delivery) spoolCheckpoints() map[string]map[string]int64 {
	all := map[string]map[string]int64{}
	err := d.Store.Each(func(key checkpoint.Key, e checkpoint.Entry) {
		if all[key.Stream] == nil {
			all[key.Stream] = map[string]int64{}
		}
		all[key.Stream][viewName(key.Declaration, key.Output)] = e.Low
	})
	if err != nil {
		notice.CheckpointsUnread.Log(d.options.Log, "error", err)
	}
	return all
}

// viewName returns the name of a route's view of its log. Its first part is the group in which a new output takes over from
// another one; see spool.Resume.
func viewName(declaration, output string) string { return declaration + "/" + output }

// noOutput is the output of views that keep what is captured while the settings name no output.
const noOutput = ""

// Views returns the views of the log with that key and where each begins. former are those that it had in an earlier process.
func (s *Spooled) Views(key string, of []declare.Declaration) (views, former map[string]int64) {
	views, former = map[string]int64{}, map[string]int64{}
	for _, d := range of {
		outputs := s.delivery.Outputs(d)
		if s.delivery.Idle() && len(outputs) == 0 {
			outputs = []string{noOutput}
		}
		for _, output := range outputs {
			views[viewName(d.Name, output)] = spool.NoCheckpoint
		}
	}
	for name, at := range s.checkpoints[key] {
		if _, ok := views[name]; ok {
			views[name] = at
		} else {
			former[name] = at
		}
	}
	return views, former
}

// StandInViews is Views for a log whose declarations are lost and replaced by of. All views begin at the lowest offset that an
// earlier view had acknowledged, so that what all had acknowledged is not delivered again.
func (s *Spooled) StandInViews(key string, of []declare.Declaration) (views, former map[string]int64) {
	views, former = s.Views(key, of)
	if positions := slices.Collect(maps.Values(s.checkpoints[key])); len(positions) > 0 {
		for name := range views {
			views[name] = slices.Min(positions)
		}
	}
	return views, former
}

// Writer holds what the records of one log have in common.
type Writer struct {
	Declarations []declare.Declaration
	Tags, Origin []record.Tag
}

// Attach starts delivering a log that was opened with Views. While settings are wrong, the log waits in the spool.
func (s *Spooled) Attach(l *spool.Log, w Writer) {
	s.mu.Lock()
	s.writers[l.Key()] = w
	s.mu.Unlock()
	if s.delivery.Idle() {
		return
	}
	for _, d := range w.Declarations {
		for _, output := range s.delivery.Outputs(d) {
			if v := l.View(viewName(d.Name, output)); v != nil { // nil if the log is only kept as history
				s.attach(l, v, d, output, w)
			}
		}
	}
}

func (s *Spooled) attach(l *spool.Log, v *spool.View, d declare.Declaration, output string, w Writer) {
	log := s.delivery.options.Log.With("stream", l.Key(), "declaration", d.Name, "output", output)
	name := viewName(d.Name, output)
	_, known := s.checkpoints[l.Key()][name]
	if at, ok := v.TookOver(); ok || !known && at > 0 { // or it stands in for earlier views, see StandInViews
		key := checkpoint.Key{Stream: l.Key(), Declaration: d.Name, Output: output}
		put := map[checkpoint.Key]checkpoint.Entry{key: {Position: checkpoint.Position{Low: at, Done: at}}}
		if err := s.delivery.Store.Commit(put, nil); err != nil {
			notice.BeginningNotStored.Log(log, "error", err)
		}
	}
	s.set(l, name, nil) // it may be done before Attach returns
	feed, err := s.delivery.Attach(Request{
		Declaration: d, Stream: v, Kind: s.kind, PartialTimeout: s.partialTimeout,
		Path: declare.Stdout, Tags: w.Tags, Origin: w.Origin, Output: output, Done: func() { s.done(l, name) },
	})
	if err != nil {
		s.done(l, name)
		notice.StreamNotDelivered.Log(log, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.feeds[l.Key()][name]; ok {
		s.feeds[l.Key()][name] = feed
	}
}

func (s *Spooled) set(l *spool.Log, view string, feed *pipeline.Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feeds[l.Key()] == nil {
		s.feeds[l.Key()] = map[string]*pipeline.Feed{}
	}
	s.feeds[l.Key()][view] = feed
}

func (s *Spooled) done(l *spool.Log, view string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.feeds[l.Key()], view); len(s.feeds[l.Key()]) == 0 {
		delete(s.feeds, l.Key())
		delete(s.writers, l.Key())
	}
}

// Declared returns what the logs' writers declare.
func (s *Spooled) Declared() (all []telemetry.Declaration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(s.writers)) {
		w := s.writers[key]
		for _, d := range w.Declarations {
			all = append(all, telemetry.Declaration{
				Container: record.NewSource("", d.Name, declare.Stdout, "", nil, w.Origin).Writer(), Name: d.Name, Sources: []string{declare.Stdout},
				Target: d.Target, Format: d.Format, Outputs: s.delivery.Outputs(d), Files: -1,
			})
		}
	}
	return all
}

// Detach ends delivery of a log that the spool has removed.
func (s *Spooled) Detach(l *spool.Log) {
	s.mu.Lock()
	feeds := slices.Collect(maps.Values(s.feeds[l.Key()]))
	delete(s.writers, l.Key())
	s.mu.Unlock()
	for _, f := range feeds {
		if f != nil {
			f.Detach()
		}
	}
}
