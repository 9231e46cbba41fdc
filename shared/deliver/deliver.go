// SPDX-License-Identifier: Apache-2.0

// Package deliver is the half that all processes that deliver have in common: outputs, checkpoints, pipeline, status
// page, and what a declaration makes of a stream. A way in finds streams and declarations and hands them to Attach.
package deliver

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
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Options are what a Delivery is made of. All are needed.
type Options struct {
	Version  string
	Common   config.Common
	Batching pipeline.Config
	Outputs  []string          // names, as LOGGING_OUTPUT has them
	Environ  map[string]string // of the process: outputs read their settings from it
	StateDir string
	Log      *slog.Logger
}

// Delivery delivers streams to the outputs of one process.
//
// A process stops in this order: no new streams (the way in), Stop, the way in's own state, Close.
type Delivery struct {
	Pipeline *pipeline.Pipeline
	Store    *checkpoint.Store
	// StateDir is where the way in keeps its own state too. It differs from Options.StateDir where UseTemporary stood in.
	StateDir string

	options Options
	rates   format.Rates
	started time.Time
	ready   atomic.Bool
	status  *telemetry.Server
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Open opens the outputs, the checkpoints below the state directory, and a pipeline between them. It waits for no
// backend. An error in an output's settings exits with command.ExitUsage.
func Open(o Options) (*Delivery, error) {
	sinks, err := registry.OpenAll(o.Outputs, o.Environ, o.Common.Workers)
	if err != nil {
		return nil, command.WithCode(err, command.ExitUsage)
	}
	store, err := openStore(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("REMORA_STATE_DIR %s: %w", o.StateDir, err)
	}
	if store.Moved != "" {
		o.Log.Error("checkpoints were damaged and set aside; everything that is still there is delivered again", "moved_to", store.Moved)
	}
	return &Delivery{
		Pipeline: pipeline.New(o.Batching, sinks, store, o.Log), Store: store, StateDir: o.StateDir,
		options: o, started: time.Now(), stop: func() {},
	}, nil
}

// UseTemporary opens like Open, and with a temporary state directory where the one that is set can't be used: containers
// run and are collected, but an upgrade or a crash of the machine loses what was not delivered.
func UseTemporary(o Options) (*Delivery, error) {
	d, err := Open(o)
	if err == nil || command.IsUsage(err) {
		return d, err
	}
	o.Log.Error("state directory unusable, using a temporary one, which an upgrade of the plugin does not keep", "error", err)
	if o.StateDir, err = os.MkdirTemp("", "remora-state-"); err != nil {
		return nil, fmt.Errorf("no state directory at all: %w", err)
	}
	return Open(o)
}

func openStore(dir string) (*checkpoint.Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return checkpoint.Open(filepath.Join(dir, "checkpoints.db"))
}

// Serve serves metrics and status until Close. more adds what the way in knows to each snapshot. Where the address can't
// be listened on, logs are collected all the same.
func (d *Delivery) Serve(more func(*telemetry.Snapshot)) {
	network, address := d.options.Common.ListenAddress(d.StateDir)
	server, err := telemetry.Listen(network, address, d.options.Common.Pprof, func() telemetry.Snapshot {
		s := telemetry.Take(d.Pipeline, time.Now())
		s.Version, s.Started, s.Ready = d.options.Version, d.started, d.ready.Load()
		more(&s)
		return s
	})
	if err != nil {
		d.options.Log.Error("failed to listen for status requests", "address", address, "error", err)
		return
	}
	d.status = server
}

// Start begins to deliver. Streams may be attached before and after.
func (d *Delivery) Start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.running.Go(func() { d.Pipeline.Run(ctx) })
}

// Ready reports to /readyz that all that was there at the start is being collected.
func (d *Delivery) Ready() { d.ready.Store(true) }

// Stop ends delivery: batches in flight have a moment to be acknowledged, and checkpoints are stored.
func (d *Delivery) Stop() {
	d.stop()
	d.running.Wait()
}

// Close closes the status page and the checkpoints. Delivery was stopped before.
func (d *Delivery) Close() error {
	var err error
	if d.status != nil {
		err = d.status.Close()
	}
	return errors.Join(err, d.Store.Close())
}
