// SPDX-License-Identifier: Apache-2.0

// Package deliver is the half that all delivering processes share: outputs, checkpoints, pipeline, status page, and the
// processing of a stream by its declaration. A way in finds streams and declarations and passes them to Attach.
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
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/otlp"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/statedir"
	"github.com/remora-logs/remora/shared/telemetry"
	"github.com/remora-logs/remora/shared/web"
)

// Options are the options of a Delivery. All are required except Wrong, Sockets and SharedLoopback.
type Options struct {
	Version  string
	Common   config.Common
	Batching pipeline.Config
	Outputs  []string          // names, as LOGGING_OUTPUT has them
	Environ  map[string]string // of the process: outputs read their settings from it
	StateDir string
	Log      *slog.Logger
	// Wrong is the error of LoadValid. Only OpenAnyway uses it.
	Wrong error
	// Sockets are further Unix sockets to serve the status on.
	Sockets []string
	// SharedLoopback means that others can reach the machine's loopback address, as Pods in the node's network can.
	SharedLoopback bool
}

// Delivery delivers streams to the outputs of one process.
//
// A process stops in this order: the way in attaches no more streams, Stop, the way in closes its own state, Close.
type Delivery struct {
	Pipeline *pipeline.Pipeline
	Store    *checkpoint.Store
	// StateDir is the directory for state, also for the way in's own. It differs from Options.StateDir if OpenAnyway had to
	// use a temporary one.
	StateDir string

	options Options
	named   *namedOutputs
	files   []fileWriter // outputs that write files
	rates   format.Rates
	// lastHour holds the rates of the last hour, for the status page.
	lastHour *web.Rates
	faults   []telemetry.Fault // since the start
	idle     bool              // settings are wrong: nothing is delivered
	watch    *settingsWatch
	take     func() telemetry.Snapshot // of Serve
	started  time.Time
	ready    atomic.Bool
	status   []*telemetry.Server
	stop     context.CancelFunc
	running  sync.WaitGroup
	lock     *statedir.Lock
}

// Open opens the outputs, the checkpoints in the state directory, and a pipeline between them. It does not wait for any
// backend. An error in an output's settings exits with command.ExitUsage.
func Open(o Options) (*Delivery, error) {
	outputs, sinks, err := openOutputs(o)
	if err != nil {
		return nil, err
	}
	return open(o, outputs, sinks)
}

func openOutputs(o Options) (*registry.Catalog, map[string]pipeline.Sink, error) {
	outputs, err := catalog(o.Environ)
	if err != nil {
		return outputs, nil, err
	}
	if unused := outputs.Unused(o.Outputs); len(unused) > 0 {
		notice.OutputsUnused.Log(o.Log, "outputs", unused)
	}
	// This comes before an output creates a directory below it with laxer rights. Acquire reports errors.
	_ = os.MkdirAll(o.StateDir, 0o700)
	sinks, err := outputs.OpenAll(o.Outputs, o.Common.Workers)
	return outputs, sinks, command.WithCode(err, command.ExitUsage)
}

// open opens the checkpoints and makes the pipeline. sinks is nil if settings are wrong.
func open(o Options, outputs *registry.Catalog, sinks map[string]pipeline.Sink) (*Delivery, error) {
	lock, err := statedir.Acquire(o.StateDir)
	if err != nil {
		return nil, notice.StateUnusable.Error(fmt.Errorf("REMORA_STATE_DIR %s: %w", o.StateDir, err))
	}
	store, err := checkpoint.Open(filepath.Join(o.StateDir, "checkpoints.db"))
	if err != nil {
		return nil, notice.StateUnusable.Error(fmt.Errorf("REMORA_STATE_DIR %s: %w", o.StateDir, errors.Join(err, lock.Release())))
	}
	if store.Moved != "" {
		notice.CheckpointsSetAside.Log(o.Log, "reason", store.Why, "moved_to", store.Moved)
	}
	if sinks != nil {
		if err := inheritCheckpoints(store, o.Outputs, o.Log); err != nil {
			notice.OutputsNotInherited.Log(o.Log, "error", err)
		}
	}
	rememberWritten(sinks, o.StateDir, o.Log)
	named := replaceNamed(o.Environ["REMORA_CONFIG"], outputs, sinks, func(name string, next output.Output) {
		rememberWrittenBy(name, next, o.StateDir, o.Log)
	})
	return &Delivery{
		Pipeline: pipeline.New(o.Batching, sinks, store, o.Log), Store: store, StateDir: o.StateDir,
		options: o, named: named, files: fileWritersOf(sinks), started: time.Now(), stop: func() {}, lock: lock, lastHour: web.NewRates(),
		watch: newSettingsWatch(o.Environ[config.FileVariable], config.Variables(), o.Log),
	}, nil
}

// OpenAnyway is Open for a process that must stay up: if a log driver does not start, containers do not start. If settings are
// wrong, it delivers nothing, so that the way in keeps what it collects until they are corrected. If the state directory can't
// be used, it uses a temporary one: containers run and are collected, but an upgrade or a crash of the machine loses what was
// not delivered. The status shows either as a fault.
func OpenAnyway(o Options) (*Delivery, error) {
	var faults []telemetry.Fault
	fault := func(component string, what *notice.Message, err error) {
		what.Log(o.Log, "component", component, "error", err)
		faults = append(faults, telemetry.Fault{Component: component, Code: what.Code, Message: err.Error() + ": " + what.What})
	}
	wrong := o.Wrong
	outputs, sinks := new(registry.Catalog), map[string]pipeline.Sink(nil)
	if wrong == nil {
		outputs, sinks, wrong = openOutputs(o)
	}
	if wrong != nil {
		fault("settings", notice.NothingDelivered, wrong)
	}
	d, err := open(o, outputs, sinks)
	if err != nil {
		fault("state", notice.StateTemporary, err)
		if o.StateDir, err = os.MkdirTemp("", "remora-state-"); err != nil {
			return nil, notice.StateUnusable.Error(fmt.Errorf("no state directory at all: %w", err))
		}
		if d, err = open(o, outputs, sinks); err != nil {
			return nil, err
		}
	}
	d.faults, d.idle = faults, wrong != nil
	return d, nil
}

// Idle reports whether nothing is delivered because settings are wrong.
func (d *Delivery) Idle() bool { return d.idle }

// Serve serves metrics and status until Close: on status.sock in the state directory, on Options.Sockets, and on
// REMORA_LISTEN. more adds what the way in knows to each snapshot, and declared lists what it collects. An address that can't
// be listened on is only logged.
func (d *Delivery) Serve(more func(*telemetry.Snapshot), declared func() []telemetry.Declaration) {
	take := func() telemetry.Snapshot {
		s := telemetry.Take(d.Pipeline, time.Now())
		s.Version, s.Started, s.Ready = d.options.Version, d.started, d.ready.Load()
		s.Faults = append(append(s.Faults, d.faults...), d.named.faults()...)
		s.Problems = append(s.Problems, d.watch.problems()...)
		more(&s)
		s.Complete()
		return s
	}
	full := func() (telemetry.Snapshot, []telemetry.Declaration) {
		s, all := take(), declared()
		s.MakeRows(all)
		return s, all
	}
	d.take = take
	common := &d.options.Common
	page := web.New(web.Options{Take: take, Full: full, Tails: &web.Tails{SetTap: d.Pipeline.SetTap}, Rates: d.lastHour, Profiles: common.Pprof,
		Access: web.Access{Listener: common.Listener, Shared: d.options.SharedLoopback}})
	at := config.Status{Listen: common.Listen, StateDir: d.StateDir}
	for _, a := range addresses(at, d.options.Sockets) {
		server, err := page.Listen(a.Network, a.Address)
		if err != nil {
			notice.StatusNotServed.Log(d.options.Log, "address", a.Address, "error", err)
			continue
		}
		d.status = append(d.status, server)
	}
}

// Start starts delivery. Streams may be attached before and after.
func (d *Delivery) Start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.running.Go(func() { d.Pipeline.Run(ctx) })
	d.running.Go(func() { d.watchOutputs(ctx) })
	d.running.Go(func() { d.watch.run(ctx) })
	if to, err := otlp.OpenMetrics(d.options.Environ); err == nil && to != nil && d.take != nil { // the settings were checked
		d.running.Go(func() { newMetricsExport(to, d.options, d.take).run(ctx) })
	}
	d.running.Go(func() {
		d.lastHour.Run(ctx, func() map[telemetry.RowKey]int64 { return telemetry.ReadRecords(d.Pipeline, time.Now()) })
	})
}

// Ready makes /readyz report that everything that existed at the start is being collected.
func (d *Delivery) Ready() { d.ready.Store(true) }

// Stop ends delivery. Batches in flight get a moment to be acknowledged, and checkpoints are stored.
func (d *Delivery) Stop() {
	d.stop()
	d.running.Wait()
}

// Close closes the status page and the checkpoints. Delivery must have been stopped.
func (d *Delivery) Close() error {
	var failed []error
	for _, s := range d.status {
		failed = append(failed, s.Close())
	}
	return errors.Join(append(failed, d.Store.Close(), d.lock.Release())...)
}
