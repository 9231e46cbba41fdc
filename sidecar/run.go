// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// processSettings are the settings of the process.
type processSettings struct {
	config.Common
	config.Sidecar
	Pod origin.Pod
}

// sidecar is the process with its parts.
type sidecar struct {
	settings processSettings
	log      *slog.Logger
	delivery *deliver.Delivery
	tailer   *tail.Tailer
	tailing  atomic.Bool // the tailer was started
	draining sync.Mutex  // serialises drains

	mu       sync.Mutex
	problems []telemetry.Problem  // of the declarations
	wanted   map[string]delivered // by declaration
}

// run tails files until ctx ends, and then drains them. variables holds environ in the system's order, which decides between
// equal names. warnings are logged. The start never waits for a backend.
func run(ctx context.Context, environ map[string]string, variables []string, warnings ...string) error {
	c, err := open(environ)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		notice.SettingOfLogPilot.Log(c.log, "warning", w)
	}
	defer command.Settle(environ, c.log)()
	c.delivery.Serve(c.report, c.declared)
	c.log.Info("remora-sidecar is running", "version", version, "outputs", c.settings.Outputs, "state", c.settings.StateDir)

	c.delivery.Start()
	tailing, stopTailing := context.WithCancel(context.Background())
	var work sync.WaitGroup
	declared := make(chan struct{})
	work.Go(func() { c.watch(tailing, variables, declared) })
	<-declared // so that a sidecar that stops or drains at once knows what to deliver
	drains := c.serveDrain()
	<-ctx.Done()
	c.log.Info("stopping, draining", "timeout", c.settings.DrainTimeout)
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

// open loads the settings and opens the state on disk.
func open(environ map[string]string) (*sidecar, error) {
	var s processSettings
	var batching pipeline.Config
	if err := deliver.Load(environ, &s.Common, &s.Sidecar, &s.Pod, &batching); err != nil {
		return nil, err
	}
	c := &sidecar{settings: s, log: command.Logger(&s.Common, os.Stderr, os.Stderr)}
	deliver.WarnOfUnknown(c.log, environ, settingsTable())
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
		Store: c.delivery.Store, Sink: c, Log: c.log, MaxOpen: s.MaxOpen, MaxDeleted: s.MaxDeleted, DropPageCache: s.DropPageCache,
		Owned: c.delivery.Owns,
	})
}

// watch applies the declarations and every change of them. After the first, it starts the tailer and closes declared.
func (c *sidecar) watch(ctx context.Context, variables []string, declared chan<- struct{}) {
	var tailing sync.WaitGroup
	defer tailing.Wait()
	sources := declare.Sources{Env: variables, ConfigFile: c.settings.ConfigFile, AnnotationsFile: c.settings.Annotations}
	c.delivery.Dialect().Watch(ctx, sources, func(set declare.Set) {
		c.applyDeclarations(set)
		if !c.tailing.Swap(true) {
			c.delivery.Ready()
			tailing.Go(func() { c.tailer.Run(ctx) })
			close(declared)
		}
	})
}

// report adds the sidecar's part to a snapshot.
func (c *sidecar) report(s *telemetry.Snapshot) {
	s.Stalled = loop.Stalled(time.Now(), loop.Named{Name: "over files", Late: c.tailer.Late},
		loop.Named{Name: "that commits positions", Late: c.delivery.Pipeline.Late})
	c.mu.Lock()
	s.Problems = append(s.Problems, c.problems...)
	c.mu.Unlock()
	for _, t := range c.tailer.Problems() {
		s.Problems = append(s.Problems, telemetry.Problem{Key: t.Path, Code: notice.PathUnreadable.Code, Message: t.Error})
	}
	n := c.tailer.Counts()
	s.Metrics = append(s.Metrics, deliver.FileMetrics(n, c.tailer.MaxDeleted())...)
	s.Metrics = append(s.Metrics, telemetry.FilesTruncated.Metric(float64(n.Truncations)), telemetry.FilesRemoved.Metric(float64(n.Removed)))
}
