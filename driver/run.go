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
	"time"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

const (
	// suspendTimeout bounds how long the driver drains FIFOs after SIGTERM, closeTimeout how long it then syncs the spool.
	// Together with the pipeline's own bound, they stay below the eight seconds that an engine allows.
	suspendTimeout = 2 * time.Second
	closeTimeout   = 3 * time.Second
)

// statusSocket is the name of the status socket beside the plugin's own. Docker shows it on the host as
// /run/docker/plugins/ID/status.sock.
const statusSocket = "status.sock"

// processSettings are the settings of the process.
type processSettings struct {
	config.Common
	config.Driver
}

// driver is the process with its parts.
type driver struct {
	settings processSettings
	log      *slog.Logger
	delivery *deliver.Delivery
	spool    *spool.Spool
	sessions *sessions
}

// run serves the engine until ctx ends. It listens before it resumes the streams of an earlier process, because the engine
// gives up on a plugin that does not listen soon. Neither step waits for a backend.
func run(ctx context.Context, environ map[string]string, socket string, warnings ...string) error {
	d, err := open(environ, filepath.Join(filepath.Dir(socket), statusSocket))
	if err != nil {
		return err
	}
	for _, w := range warnings {
		notice.SettingOfLogPilot.Log(d.log, "warning", w)
	}
	defer command.Settle(environ, d.log)()
	listener, err := plugin.Listen(socket)
	if err != nil {
		return notice.ListenPluginFailed.Error(fmt.Errorf("the plugin's socket can't be opened: %w", err))
	}
	handler := plugin.Handler(d.sessions, d.settings.ReadLogs, d.log)
	served := make(chan error, 1)
	go func() { served <- handler.Serve(listener) }()
	d.delivery.Serve(d.report, d.sessions.routes.Declared)
	d.log.Info("remora-driver is listening", "version", version, "outputs", d.settings.Outputs, "state", d.delivery.StateDir)

	d.delivery.Start()
	d.sessions.resume()
	d.delivery.Ready()

	select {
	case <-ctx.Done():
		d.log.Info("stopping")
	case err = <-served:
		err = fmt.Errorf("the plugin's socket: %w", err)
	}
	return errors.Join(err, d.stop(listener))
}

// open reads the settings and opens the state on disk. Invalid settings do not make it fail, because the engine would then
// refuse to start containers. status is the path of a second status socket: its path on the host is short enough for curl,
// unlike that of the socket in the state directory.
func open(environ map[string]string, status string) (*driver, error) {
	var s processSettings
	var batching pipeline.Config
	wrong := deliver.LoadValid(environ, &s.Common, &s.Driver, &batching)
	d := &driver{settings: s, log: command.Logger(&s.Common, os.Stdout, os.Stderr)}
	deliver.WarnOfUnknown(d.log, environ, settingsTable())
	var err error
	if d.delivery, err = deliver.OpenAnyway(deliver.Options{
		Version: version, Common: s.Common, Batching: batching, Outputs: s.Outputs, Environ: environ, StateDir: s.StateDir, Log: d.log,
		Wrong: wrong, Sockets: []string{status},
	}); err != nil {
		return nil, err
	}
	d.sessions = newSessions(d)
	d.spool = spool.Open(spool.Options{
		Dir: filepath.Join(d.delivery.StateDir, "streams"), MaxBytes: s.SpoolMaxBytes,
		MinFree: s.SpoolMinFree, SyncInterval: s.SyncInterval, Log: d.log,
		Evicted: func(l *spool.Log, _ spool.Evicted) { d.sessions.routes.Detach(l) },
	})
	return d, nil
}

// stop stores on disk what the FIFOs hold now. What is written from then on waits in them for the next process.
func (d *driver) stop(listener net.Listener) error {
	_ = listener.Close() // the process ends anyway
	d.sessions.suspend(suspendTimeout)
	d.delivery.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return errors.Join(d.spool.Close(ctx), d.delivery.Close())
}

// report adds the driver's part to a snapshot.
func (d *driver) report(s *telemetry.Snapshot) {
	s.Stalled = loop.Stalled(time.Now(), loop.Named{Name: "that commits positions", Late: d.delivery.Pipeline.Late})
	s.Problems = append(s.Problems, d.sessions.problems()...)
	evicted := d.spool.EvictedTotal()
	s.Metrics = append(s.Metrics,
		telemetry.SpoolBytes.Metric(float64(d.spool.StoredBytes())),
		telemetry.SpoolMaxBytes.Metric(float64(d.settings.SpoolMaxBytes)),
		telemetry.Streams.Metric(float64(len(d.spool.Logs()))),
		telemetry.SpoolEvictedStreams.Metric(float64(evicted.Logs)),
		telemetry.SpoolEvictedRecords.Metric(float64(evicted.Records)),
		telemetry.Captures.Metric(float64(d.sessions.count())),
	)
}
