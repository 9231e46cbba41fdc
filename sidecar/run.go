// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// processSettings is what the process was set to.
type processSettings struct {
	config.Common
	config.Sidecar
	Pod origin.Pod
}

// sidecar is the process, wired.
type sidecar struct {
	settings processSettings
	log      *slog.Logger
	delivery *deliver.Delivery
	tailer   *tail.Tailer
	begun    atomic.Bool // the tailer runs
	draining sync.Mutex  // one drain after the other

	mu       sync.Mutex
	problems []telemetry.Problem // of the declarations
}

// run tails until ctx ends, and drains. variables are environ as the system gives it, with the order that declarations
// have there. Nothing of it waits for a backend.
func run(ctx context.Context, environ map[string]string, variables []string) error {
	c, err := open(environ)
	if err != nil {
		return err
	}
	defer command.Settle(environ, c.log)()
	c.delivery.Serve(c.report)
	c.log.Info("remora-sidecar is running", "version", version, "outputs", c.settings.Outputs, "state", c.settings.StateDir)

	c.delivery.Start()
	tailing, stopTailing := context.WithCancel(context.Background())
	var work sync.WaitGroup
	declared := make(chan struct{})
	work.Go(func() { c.watch(tailing, variables, declared) })
	<-declared // so that even a sidecar that is to end, or to drain, at once knows what it has to deliver
	drains := c.serveDrain()
	<-ctx.Done()
	c.log.Info("stopping: delivering what is left", "timeout", c.settings.DrainTimeout)
	err = c.drain(c.settings.DrainTimeout)
	stopTailing()
	work.Wait()
	c.delivery.Stop()
	c.tailer.Close()
	if drains != nil {
		_ = drains.Close()
	}
	return errors.Join(err, c.delivery.Close())
}

// open reads the settings and opens what the process keeps on disk.
func open(environ map[string]string) (*sidecar, error) {
	var s processSettings
	var batching pipeline.Config
	if err := deliver.Load(environ, &s.Common, &s.Sidecar, &s.Pod, &batching); err != nil {
		return nil, err
	}
	c := &sidecar{settings: s, log: s.Logger()}
	var err error
	if c.delivery, err = deliver.Open(deliver.Options{
		Version: version, Common: s.Common, Batching: batching, Outputs: s.Outputs, Environ: environ, StateDir: s.StateDir, Log: c.log,
	}); err != nil {
		return nil, err
	}
	if c.tailer, err = c.newTailer(); err != nil {
		return nil, errors.Join(err, c.delivery.Close())
	}
	return c, nil
}

func (c *sidecar) newTailer() (*tail.Tailer, error) {
	s := &c.settings
	return tail.New(tail.Config{
		Store: c.delivery.Store, Log: c.log, MaxOpen: s.MaxOpen, MaxDeleted: s.MaxDeleted,
		DeleteAfter: s.DeleteAfter, DropPageCache: s.DropPageCache,
	})
}

// watch follows the files of what is declared, and the declarations. The tailer runs from the first set of them on, when
// it closes declared.
func (c *sidecar) watch(ctx context.Context, variables []string, declared chan<- struct{}) {
	var tailing sync.WaitGroup
	defer tailing.Wait()
	sources := declare.Sources{Env: variables, ConfigFile: c.settings.ConfigFile, AnnotationsFile: c.settings.Annotations}
	declare.New(c.settings.Prefix, c.settings.Outputs...).Watch(ctx, sources, func(set declare.Set) {
		c.declared(set)
		if !c.begun.Swap(true) {
			c.delivery.Ready()
			tailing.Go(func() { c.tailer.Run(ctx) })
			close(declared)
		}
	})
}

// report adds to a snapshot what the sidecar knows.
func (c *sidecar) report(s *telemetry.Snapshot) {
	c.mu.Lock()
	s.Problems = append(s.Problems, c.problems...)
	c.mu.Unlock()
	for _, t := range c.tailer.Troubles() {
		s.Problems = append(s.Problems, telemetry.Problem{Key: t.Path, Message: t.Error})
	}
	n := c.tailer.Counts()
	for _, g := range []struct {
		name, help string
		value      int64
	}{
		{"files", "Files that are followed", int64(n.Files)},
		{"files_open", "Files that are open", int64(n.Open)},
		{"files_held_bytes", "Bytes on disk of files that were removed before they were read", n.HeldBytes},
		{"files_lost_bytes", "Bytes that were truncated or removed before they could be read, since the start", n.Lost},
		{"files_begun", "Files, and what followed a truncation, that were begun since the start", n.Generations},
		{"files_truncated", "Truncations since the start", n.Truncations},
		{"files_rotated", "Rotations since the start", n.Rotations},
		{"files_copies", "Files found to hold what another one held, since the start", n.Copies},
		{"files_removed", "Rotated files deleted by REMORA_DELETE_AFTER since the start", n.Removed},
	} {
		s.Gauges = append(s.Gauges, telemetry.Gauge{Name: g.name, Help: g.help, Value: float64(g.value)})
	}
}
