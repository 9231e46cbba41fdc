// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/tail"
)

// processSettings are the settings of the process.
type processSettings struct {
	config.Common
	config.Node
	config.Loggers
}

// node is the process with its parts.
type node struct {
	settings processSettings
	log      *slog.Logger
	delivery *deliver.Delivery
	tailer   *tail.Tailer
	agent    *agent
	sources  *sources
	loggers  *loggerSpool
	labels   *labels
	running  sync.WaitGroup
}

// run collects until ctx ends. Its start waits for no backend, runtime or API server. warnings are logged.
func run(ctx context.Context, environ map[string]string, warnings ...string) error {
	n, err := open(environ)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		notice.SettingOfLogPilot.Log(n.log, "warning", w)
	}
	defer command.Settle(environ, n.log)()
	n.delivery.Serve(n.report, n.declared)
	n.log.Info("remora-node is running", "version", version, "outputs", n.settings.Outputs, "state", n.settings.StateDir,
		"host_root", n.agent.host.root)
	n.checkMounts()

	n.delivery.Start()
	finding, stopFinding := context.WithCancel(context.Background())
	tailing, stopTailing := context.WithCancel(context.Background())
	remembered := rememberedPath(n.delivery.StateDir)
	n.agent.recall(remembered, n.sources.names())
	n.running.Go(func() { n.watchRules(finding) })
	n.running.Go(func() { n.deliverCaptured(finding) })
	n.running.Go(func() { n.agent.watch(finding, remembered) })
	n.running.Go(func() { n.sources.follow(finding, labelSink{n.agent, n.labels}) })
	var tailer sync.WaitGroup
	tailer.Go(func() { n.tailer.Run(tailing) })
	<-ctx.Done()
	stopFinding()
	n.running.Wait()
	n.deliverRemoved()
	stopTailing()
	tailer.Wait()
	n.delivery.Stop()
	n.tailer.Close()
	return n.delivery.Close()
}

// open reads the settings and opens the state on disk.
func open(environ map[string]string) (*node, error) {
	var s processSettings
	var batching pipeline.Config
	if err := deliver.Load(environ, &s.Common, &s.Node, &s.Loggers, &batching); err != nil {
		return nil, err
	}
	n := &node{settings: s, log: command.Logger(&s.Common, os.Stderr, os.Stderr)}
	deliver.WarnOfUnknown(n.log, environ, settingsTable())
	h, err := findHost(s.HostRoot)
	if err != nil {
		return nil, command.WithCode(err, command.ExitUsage)
	}
	if n.sources, err = newSources(s.Node, h, environ, n.log); err != nil {
		return nil, command.WithCode(err, command.ExitUsage)
	}
	filebeat := takeOver(filebeatDir, s.StateDir, time.Now(), n.log)
	if n.delivery, err = deliver.Open(deliver.Options{
		Version: version, Common: s.Common, Batching: batching, Outputs: s.Outputs, Environ: environ, StateDir: s.StateDir, Log: n.log,
		SharedLoopback: true,
	}); err != nil {
		return nil, err
	}
	n.agent = newAgent(s.Node, h, s.HostName(), n.delivery.Dialect(), n.delivery.Outputs, n.log)
	n.agent.kind = n.delivery.Kind
	if n.agent.topics, err = topics(topicsFiles); err != nil {
		return nil, errors.Join(err, n.delivery.Close())
	}
	if n.tailer, err = tail.New(tail.Config{
		Store: n.delivery.Store, Sink: &sink{&n.agent.routes, n.delivery}, Log: n.log, MaxOpen: s.MaxOpen, MaxDeleted: s.MaxDeleted,
		DropPageCache: s.DropPageCache, Owned: n.delivery.Owns, Delivered: filebeat.delivered,
	}); err != nil {
		return nil, errors.Join(err, n.delivery.Close())
	}
	n.agent.tailer = n.tailer
	n.labels = newLabels(n.sources.describe, n.agent.kept)
	n.loggers = newLoggerSpool(s.Loggers, s.Node, s.HostName(), n.delivery, n.labels, n.agent.rulesOf, n.log)
	n.agent.listed = func(all map[string]error) {
		if n.sources.answered(all) {
			n.delivery.Ready()
		}
	}
	return n, nil
}

// checkMounts logs a warning if the agent cannot see what the host mounts after the agent's start.
func (n *node) checkMounts() {
	if n.agent.host.hidesNewMounts() {
		notice.MountsHidden.Log(n.log,
			"mount", n.agent.host.root)
	}
}

// deliverCaptured delivers what logging binaries capture. It first waits for the rules, which apply to it too.
func (n *node) deliverCaptured(ctx context.Context) {
	if n.settings.ConfigFile != "" {
		select {
		case <-n.agent.rulesRead:
		case <-ctx.Done():
			return
		}
	}
	n.loggers.run(ctx)
}

// watchRules applies the file of rules and each change of it, until ctx ends.
func (n *node) watchRules(ctx context.Context) {
	if path := n.settings.ConfigFile; path != "" {
		n.agent.dialect.WatchRules(ctx, path, n.agent.setRules)
	}
}

// deliverRemoved waits until removed files that are held open are delivered, for at most REMORA_DRAIN_TIMEOUT: the next process
// cannot read them. It resumes all others.
func (n *node) deliverRemoved() {
	if n.tailer.Counts().HeldBytes == 0 {
		return
	}
	n.log.Info("stopping: delivering files that were removed", "timeout", n.settings.DrainTimeout)
	end := time.After(n.settings.DrainTimeout)
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for n.tailer.Counts().HeldBytes > 0 {
		select {
		case <-every.C:
		case <-end:
			notice.FilesNotDrained.Log(n.log, "bytes", n.tailer.Counts().HeldBytes)
			return
		}
	}
}

// dialectOf returns the dialect of the settings, for a process that delivers nothing.
func dialectOf(s *processSettings) *declare.Dialect {
	return declare.New(s.Prefix, s.Outputs...).WithVariables(deliver.Protected(), s.TagsFrom)
}
