// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/telemetry"
)

// The driver's own log options.
const (
	whenFullOption     = "when-full"
	blockTimeoutOption = "block-timeout"
)

var ownOptions = []string{whenFullOption, blockTimeoutOption}

// manifestOf returns the manifest of a container that the engine describes, and the problems in its declarations and options.
// None of them makes the driver refuse a container, since the options in daemon.json apply to all containers.
func (s *sessions) manifestOf(file string, info plugin.Info) (*containerManifest, []telemetry.Problem) {
	set := s.dialect.Read(declare.Input{
		Options: info.Config, Others: append(slices.Clone(declare.DockerOptions), ownOptions...),
		DefaultTarget: s.settings.DefaultTarget, Labels: info.ContainerLabels, Env: info.ContainerEnv,
	})
	found := problems{container: strings.TrimPrefix(info.ContainerName, "/")}
	found.all = deliver.Problems(set, found.container)
	c := origin.Container{
		ID: info.ContainerID, Name: info.ContainerName, ImageID: info.ContainerImageID, ImageName: info.ContainerImageName,
		Daemon: info.DaemonName, Entry: info.ContainerEntrypoint, Args: info.ContainerArgs, Created: info.ContainerCreated,
		Labels: info.ContainerLabels, Env: info.ContainerEnv,
	}
	for _, p := range declare.WarnOfCache(info.Config, s.settings.ReadLogs) {
		found.add(p.Key, p.Message, true)
	}
	tags, errs := c.Attributes(info.Config)
	for _, err := range errs {
		found.add("log-opt", err.Error(), true)
	}
	tags = append(tags, deliver.Tags(set.Metadata)...)
	m := &containerManifest{File: file, Container: info.ContainerID, Started: time.Now(), Origin: c.Tags(s.host, ""), Tags: tags}
	m.WhenFull, m.BlockTimeout = found.policy(info.Config)
	for _, d := range set.Declarations {
		if d.HasStdout() {
			m.Declarations = append(m.Declarations, d)
		}
		for _, path := range d.Paths() {
			found.add(d.Name, path+" is a file in the container; the plugin collects stdout and stderr only; the node agent and the sidecar collect files", d.HasStdout())
		}
	}
	for _, p := range found.all {
		telemetry.DeclarationNotice(p.Key, p.Warning).LogAt(slog.LevelWarn, s.log, "container", p.Container, "key", p.Key, "problem", p.Message)
	}
	return m, found.all
}

// problems collects the problems of one container.
type problems struct {
	container string
	all       []telemetry.Problem
}

func (p *problems) add(key, message string, warning bool) {
	p.all = append(p.all, telemetry.Problem{Container: p.container, Key: key, Message: message, Warning: warning})
}

// policy returns the options for a full spool: "" and 0 if they are absent or invalid.
func (p *problems) policy(options map[string]string) (whenFull string, timeout time.Duration) {
	if v := options[whenFullOption]; v != "" {
		if _, err := spool.ParsePolicy(v); err != nil {
			p.add(whenFullOption, err.Error(), true)
		} else {
			whenFull = v
		}
	}
	if v := options[blockTimeoutOption]; v != "" {
		d, err := time.ParseDuration(v)
		if err == nil && d <= 0 {
			err = errors.New("it must be more than 0")
		}
		if err != nil {
			p.add(blockTimeoutOption, err.Error(), true)
		} else {
			timeout = d
		}
	}
	return whenFull, timeout
}
