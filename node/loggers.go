// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/loggers"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

// findSpoolEvery is the interval of checks for the spool, which the first logging binary creates.
const findSpoolEvery = 2 * time.Second

// loggerSpool delivers what containerd's logging binaries capture.
type loggerSpool struct {
	settings config.Loggers
	node     config.Node
	hostName string
	dialect  *declare.Dialect
	routes   *deliver.Spooled
	known    *labels
	rules    func(declare.Subject) []*declare.Rule // returns the rules that match a container
	log      *slog.Logger

	mu       sync.Mutex // guards the fields below
	source   *loggers.Source
	fault    string
	problems map[string][]telemetry.Problem // by the log's key
}

func newLoggerSpool(s config.Loggers, n config.Node, hostName string, d *deliver.Delivery, known *labels, rules func(declare.Subject) []*declare.Rule, log *slog.Logger) *loggerSpool {
	return &loggerSpool{settings: s, node: n, hostName: hostName, dialect: d.Dialect(), routes: d.Spooled(deliver.Chunks, n.PartialTimeout),
		known: known, rules: rules, log: log, problems: map[string][]telemetry.Problem{}}
}

// run delivers until ctx ends. It waits for the spool to appear.
func (s *loggerSpool) run(ctx context.Context) {
	for {
		err := s.open()
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.setFault(err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(findSpoolEvery):
		}
	}
	s.setFault("")
	if err := s.source.Run(ctx); err != nil {
		notice.LoggerSpoolNotClosed.Log(s.log, "error", err)
	}
}

func (s *loggerSpool) setFault(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if message != "" && s.fault == "" {
		notice.LoggerSpoolUnusable.Log(s.log, "directory", s.settings.Dir, "error", message)
	}
	s.fault = message
}

func (s *loggerSpool) open() error {
	if _, err := os.Stat(s.settings.Dir); err != nil {
		return err
	}
	source, err := loggers.Open(loggers.Options{
		Dir: s.settings.Dir, Logger: s.settings.Binary, History: s.settings.History, Log: s.log,
		Limits: spool.Limits{MaxBytes: s.settings.SpoolMaxBytes, MaxBytesEach: s.settings.SpoolMaxEach, MinFree: s.settings.SpoolMinFree,
			WhenFull: s.settings.WhenFull, BlockTimeout: s.settings.BlockTimeout},
		Views: func(key string, c *manifest.Container) (views, former map[string]int64) {
			declarations := s.read(c).Declarations
			if views, former = s.routes.Views(key, declarations); c.Damaged || declaredLate(views, former) {
				return s.routes.StandInViews(key, declarations)
			}
			return views, former
		},
		Attach:  s.attach,
		Ask:     s.known.ask,
		Exited:  s.known.exited,
		Evicted: func(l *spool.Log, _ spool.Evicted) { s.routes.Detach(l) },
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.source = source
	return nil
}

// declaredLate reports whether a log was delivered under other declarations than the present ones: under the default one,
// before the container's labels were known.
func declaredLate(views, former map[string]int64) bool {
	name := func(view string) string {
		declaration, _, _ := strings.Cut(view, "/")
		return declaration
	}
	known := map[string]bool{}
	for view, at := range views {
		if at != spool.NoCheckpoint {
			return false
		}
		known[name(view)] = true
	}
	for view := range former {
		if known[name(view)] {
			return false
		}
	}
	return len(former) > 0
}

// read returns what a container declares about its output.
func (s *loggerSpool) read(c *manifest.Container) declare.Set {
	rules := s.rules(declare.Subject{Runtime: c.Runtime, Container: nameOf(c), Image: c.Image, Labels: c.Labels, Env: c.Env})
	return readCaptured(s.dialect, s.node.DefaultTarget, rules, c)
}

// readCaptured returns the declarations of a container whose output is captured. A container that was started with the logger is
// to be collected, so its output has a default target.
func readCaptured(d *declare.Dialect, target string, rules []*declare.Rule, c *manifest.Container) declare.Set {
	if c.Labels[excludeKey] == "true" {
		return declare.Set{}
	}
	return d.Read(declare.Input{Options: c.Options, DefaultTarget: target, Rules: rules, Labels: c.Labels, Env: c.Env})
}

// nameOf returns the name that users know a captured container by.
func nameOf(c *manifest.Container) string { return cmp.Or(c.Labels["nerdctl/name"], c.ID) }

// attach starts the delivery of one container's log.
func (s *loggerSpool) attach(l *spool.Log, c *manifest.Container) {
	set := s.read(c)
	of := origin.Container{ID: c.ID, Name: nameOf(c), ImageName: c.Image, Labels: c.Labels, Env: c.Env}
	tags, errs := of.Attributes(c.Options)
	for _, name := range s.node.LabelTags {
		if value, ok := c.Labels[name]; ok {
			tags = append(tags, record.Tag{Key: name, Value: value})
		}
	}
	w := deliver.Writer{Tags: append(tags, deliver.Tags(set.Metadata)...), Origin: of.Tags(s.hostName, s.node.NodeName)}
	if s.node.HostIP != "" {
		w.Origin = append(w.Origin, record.Tag{Key: "host_ip", Value: s.node.HostIP})
	}
	found := deliver.Problems(set, of.Name)
	for _, err := range errs {
		found = append(found, telemetry.Problem{Container: of.Name, Key: "log-opt", Message: err.Error(), Warning: true})
	}
	for _, problem := range c.Problems {
		found = append(found, telemetry.Problem{Container: of.Name, Key: "logger", Message: problem, Warning: true})
	}
	for _, d := range set.Declarations {
		if d.HasStdout() { // files are collected through the container's inventory
			w.Declarations = append(w.Declarations, d)
		}
	}
	s.mu.Lock()
	if len(found) > 0 {
		s.problems[l.Key()] = found
	}
	s.mu.Unlock()
	s.routes.Attach(l, w)
}

// report adds the state of the loggers' spool to a snapshot.
func (s *loggerSpool) report(to *telemetry.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != "" {
		to.Faults = append(to.Faults, telemetry.Fault{Component: "loggers", Code: notice.LoggerSpoolUnusable.Code, Message: s.settings.Dir + ": " + s.fault})
	}
	if s.source == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(s.problems)) {
		if s.source.Spool().Log(key) == nil {
			delete(s.problems, key) // the log is delivered and removed
			continue
		}
		for _, p := range s.problems[key] {
			if !slices.Contains(to.Problems, p) { // the container's inventory may have found it, too
				to.Problems = append(to.Problems, p)
			}
		}
	}
	evicted := s.source.Spool().EvictedTotal()
	to.Metrics = append(to.Metrics,
		telemetry.SpoolBytes.Metric(float64(s.source.Spool().StoredBytes())),
		telemetry.SpoolMaxBytes.Metric(float64(s.settings.SpoolMaxBytes)),
		telemetry.Streams.Metric(float64(len(s.source.Spool().Logs()))),
		telemetry.LoggersHeld.Metric(float64(s.source.Held())),
		telemetry.SpoolEvictedRecords.Metric(float64(evicted.Records)),
	)
}
