// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// settings is all that the process was set to.
type settings struct {
	config.Common
	config.Sidecar
	Pod origin.Pod
}

func loadSettings(environ map[string]string, parts ...any) (settings, error) {
	var s settings
	if err := config.Load(environ, append([]any{&s.Common, &s.Sidecar, &s.Pod}, parts...)...); err != nil {
		return s, codedError{err, exitUsage}
	}
	return s, nil
}

// sidecar is the process, wired.
type sidecar struct {
	settings settings
	log      *slog.Logger
	started  time.Time
	store    *checkpoint.Store
	pipeline *pipeline.Pipeline
	tailer   *tail.Tailer
	ready    atomic.Bool
	draining sync.Mutex // one drain after the other

	mu       sync.Mutex
	problems []telemetry.Problem // of the declarations
}

// run tails until ctx ends, and drains. variables are environ as the system gives it, with the order that declarations
// have there. Nothing of it waits for a backend.
func run(ctx context.Context, environ map[string]string, variables []string) error {
	var batching pipeline.Config
	s, err := loadSettings(environ, &batching)
	if err != nil {
		return err
	}
	log := s.Logger()
	config.TuneMemory(environ, log)
	defer config.ForgetStartup(log)()
	sinks, err := registry.OpenAll(s.Outputs, environ, s.Workers)
	if err != nil {
		return codedError{err, exitUsage}
	}
	c := &sidecar{settings: s, log: log, started: time.Now()}
	if err := c.openState(); err != nil {
		return err
	}
	c.pipeline = pipeline.New(batching, sinks, c.store, log)
	if c.tailer, err = c.newTailer(); err != nil {
		return errors.Join(err, c.store.Close())
	}
	status := c.serveStatus()
	log.Info("remora-sidecar is running", "version", version, "outputs", s.Outputs, "state", s.StateDir)

	running, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { c.pipeline.Run(running) })
	declared := make(chan struct{})
	work.Go(func() { c.watch(running, variables, declared) })
	<-declared // so that even a sidecar that is to end, or to drain, at once knows what it has to deliver
	drains := c.serveDrain()
	<-ctx.Done()
	log.Info("stopping: delivering what is left", "timeout", s.DrainTimeout)
	err = c.drain(s.DrainTimeout)
	stop()
	work.Wait()
	c.tailer.Close()
	if drains != nil {
		_ = drains.Close()
	}
	if status != nil {
		_ = status.Close()
	}
	return errors.Join(err, c.store.Close())
}

func (c *sidecar) openState() (err error) {
	dir := c.settings.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("REMORA_STATE_DIR %s: %w", dir, err)
	}
	if c.store, err = checkpoint.Open(filepath.Join(dir, "checkpoints.db")); err != nil {
		return fmt.Errorf("REMORA_STATE_DIR %s: %w", dir, err)
	}
	if c.store.Moved != "" {
		c.log.Error("the checkpoints could not be read and were put aside; every file is delivered again from its beginning",
			"kept", c.store.Moved)
	}
	return nil
}

func (c *sidecar) newTailer() (*tail.Tailer, error) {
	s := &c.settings
	return tail.New(tail.Config{
		Store: c.store, Log: c.log, MaxOpen: s.MaxOpen, MaxDeleted: s.MaxDeleted,
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
		if !c.ready.Swap(true) {
			tailing.Go(func() { c.tailer.Run(ctx) })
			close(declared)
		}
	})
}

// serveStatus serves metrics and status. Where it can't, logs are collected all the same.
func (c *sidecar) serveStatus() *telemetry.Server {
	network, address := c.settings.ListenAddress(c.settings.StateDir)
	server, err := telemetry.Listen(network, address, c.settings.Pprof, c.snapshot)
	if err != nil {
		c.log.Error("status is not served", "address", address, "error", err)
		return nil
	}
	return server
}

func (c *sidecar) snapshot() telemetry.Snapshot {
	s := telemetry.Take(c.pipeline, time.Now())
	s.Version, s.Started, s.Ready = version, c.started, c.ready.Load()
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
	return s
}
