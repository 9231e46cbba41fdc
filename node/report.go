// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/loop"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/telemetry"
)

// report adds the agent's part to a snapshot.
func (n *node) report(s *telemetry.Snapshot) {
	s.Stalled = loop.Stalled(n.agent.now(), loop.Named{Name: "over containers", Late: n.agent.loop.Late},
		loop.Named{Name: "over files", Late: n.tailer.Late}, loop.Named{Name: "that commits positions", Late: n.delivery.Pipeline.Late})
	n.agent.report(s, n.sources.adds)
	n.loggers.report(s)
	if tried := n.sources.tried(); tried != "" {
		s.Faults = append(s.Faults, telemetry.Fault{Component: "runtime", Code: notice.RuntimeMissing.Code, Message: "no container runtime was found; tried " + tried +
			": mount one of them, or the host's root at /host"})
	}
	for _, p := range n.tailer.Problems() {
		s.Problems = append(s.Problems, telemetry.Problem{Key: p.Path, Code: notice.PathUnreadable.Code, Message: p.Error})
	}
	s.Metrics = append(s.Metrics, deliver.FileMetrics(n.tailer.Counts(), n.tailer.MaxDeleted())...)
	slices.SortFunc(s.Metrics, func(a, b telemetry.Metric) int { return cmp.Compare(a.Name, b.Name) })
}

// report adds the inventories, problems and counts of containers. An error of an inventory for which adds reports true is a
// warning, not a fault.
func (a *agent) report(s *telemetry.Snapshot, adds func(inventory string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(a.inventories)) {
		if err := a.inventories[name]; err != nil && adds(name) {
			s.Problems = append(s.Problems, telemetry.Problem{Key: name, Code: notice.ContainersUnlisted.Code, Message: err.Error(), Warning: true})
		} else if err != nil {
			s.Faults = append(s.Faults, telemetry.Fault{Component: "runtime", Code: notice.RuntimeFailed.Code, Message: name + ": " + err.Error()})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.tooLarge)) {
		for _, id := range a.tooLarge[name] {
			s.Problems = append(s.Problems, telemetry.Problem{Container: id, Key: name, Code: notice.ContainerTooLarge.Code,
				Message: "it is not collected: what the runtime tells of it exceeds 16 MiB; start it with smaller labels"})
		}
	}
	add := func(container string, problems []declare.Problem, warning bool) {
		for _, p := range problems {
			s.Problems = append(s.Problems, telemetry.Problem{Container: container, Key: p.Key, Message: p.Message, Warning: warning})
		}
	}
	add("", a.ruleProblems, false)
	collected := 0
	for _, key := range slices.Sorted(maps.Keys(a.subjects)) {
		of := a.subjects[key]
		if len(of.problems)+len(of.warnings) > 0 {
			v := of.view()
			add(v.name(), of.problems, false)
			add(v.name(), of.warnings, true)
		}
		if len(of.put) > 0 {
			collected++
		}
	}
	s.Metrics = append(s.Metrics, telemetry.Containers.Metric(float64(len(a.subjects))),
		telemetry.ContainersCollected.Metric(float64(collected)))
}

type healthzCommand struct{}

// Run asks the running agent. It fails if one of the agent's loops is stalled, or if there is no answer.
func (*healthzCommand) Run(k *kong.Context) error {
	var at config.Status
	if err := command.Load(config.Environ(), &at); err != nil {
		return err
	}
	network, address := at.ListenAddress()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answer, err := telemetry.Fetch(ctx, "/healthz", telemetry.Address{Network: "unix", Address: at.Socket()},
		telemetry.Address{Network: network, Address: address})
	if err != nil {
		return errors.New("not healthy: " + err.Error())
	}
	_, err = k.Stdout.Write(answer)
	return err
}
