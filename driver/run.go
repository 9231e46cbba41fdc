// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

const (
	// leaveTimeout bounds how long SIGTERM waits for FIFOs to be drained, closeTimeout for the spool to be on disk. With
	// the pipeline's own bound between them, they stay below the eight seconds after which an engine loses patience.
	leaveTimeout = 2 * time.Second
	closeTimeout = 3 * time.Second
)

// driver is the process, wired.
type driver struct {
	settings settings
	log      *slog.Logger
	started  time.Time
	store    *checkpoint.Store
	spool    *spool.Spool
	pipeline *pipeline.Pipeline
	sessions *sessions
	ready    atomic.Bool
}

// run serves the engine until ctx ends. It listens before it re-attaches to what an earlier process left, because the
// engine gives up on a plugin that does not listen soon, and neither waits for a backend.
func run(ctx context.Context, environ map[string]string, socket string) error {
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
		return usageError{err}
	}
	d := &driver{settings: s, log: log, started: time.Now()}
	if err := d.openState(); err != nil {
		return err
	}
	d.pipeline = pipeline.New(batching, sinks, d.store, log)
	d.sessions = newSessions(d)
	listener, err := plugin.Listen(socket)
	if err != nil {
		return fmt.Errorf("the plugin's socket can't be opened: %w", err)
	}
	handler := plugin.Handler(d.sessions, s.ReadLogs, log)
	served := make(chan error, 1)
	go func() { served <- handler.Serve(listener) }()
	status := d.serveStatus()
	log.Info("remora-driver is listening", "version", version, "outputs", s.Outputs, "state", s.StateDir)

	delivering, stopDelivery := context.WithCancel(context.Background())
	var delivery sync.WaitGroup
	delivery.Go(func() { d.pipeline.Run(delivering) })
	d.sessions.resume()
	d.ready.Store(true)

	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-served:
		err = fmt.Errorf("the plugin's socket: %w", err)
	}
	return errors.Join(err, d.stop(listener, status, func() { stopDelivery(); delivery.Wait() }))
}

// stop puts on disk what the FIFOs hold now. What is written from then on waits in them for the next process.
func (d *driver) stop(listener net.Listener, status *telemetry.Server, stopDelivery func()) error {
	_ = listener.Close() // it is of no use any more, whatever that says
	d.sessions.leave(leaveTimeout)
	stopDelivery()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := d.spool.Close(ctx)
	if status != nil {
		_ = status.Close()
	}
	return errors.Join(err, d.store.Close())
}

// openState opens checkpoints and spool in the state directory. Where that can't be written, a temporary directory
// stands in: containers run and are collected, but a crash of the machine or an upgrade loses what was not delivered.
func (d *driver) openState() error {
	store, err := openCheckpoints(d.settings.StateDir)
	if err != nil {
		d.log.Error("the state directory can't be used; a temporary one stands in, which an upgrade does not keep",
			"directory", d.settings.StateDir, "error", err)
		if d.settings.StateDir, err = os.MkdirTemp("", "remora-state-"); err != nil {
			return fmt.Errorf("no state directory at all: %w", err)
		}
		if store, err = openCheckpoints(d.settings.StateDir); err != nil {
			return err
		}
	}
	d.store = store
	d.spool = spool.Open(spool.Options{
		Dir: filepath.Join(d.settings.StateDir, "streams"), MaxBytes: d.settings.SpoolMaxBytes,
		MinFree: d.settings.SpoolMinFree, SyncInterval: d.settings.SyncInterval, Log: d.log,
	})
	return nil
}

func openCheckpoints(dir string) (*checkpoint.Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return checkpoint.Open(filepath.Join(dir, "checkpoints.db"))
}

// serveStatus serves metrics and status. Where it can't, logs are collected all the same.
func (d *driver) serveStatus() *telemetry.Server {
	network, address := d.settings.ListenAddress(d.settings.StateDir)
	server, err := telemetry.Listen(network, address, d.settings.Pprof, d.snapshot)
	if err != nil {
		d.log.Error("status is not served", "address", address, "error", err)
		return nil
	}
	return server
}

func (d *driver) snapshot() telemetry.Snapshot {
	s := telemetry.Take(d.pipeline, time.Now())
	s.Version, s.Started, s.Ready = version, d.started, d.ready.Load()
	s.Problems = append(s.Problems, d.sessions.problems()...)
	s.Gauges = []telemetry.Gauge{
		{Name: "spool_bytes", Help: "Bytes of the spool on disk", Value: float64(d.spool.StoredBytes())},
		{Name: "spool_max_bytes", Help: "Bytes that the spool may take up", Value: float64(d.settings.SpoolMaxBytes)},
		{Name: "streams", Help: "Streams in the spool", Value: float64(len(d.spool.Logs()))},
		{Name: "captures", Help: "FIFOs being captured", Value: float64(d.sessions.count())},
	}
	return s
}
