// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/explain"
	"github.com/remora-logs/remora/shared/tail"
)

// explainCommand explains the containers of this host or, like the other processes' explain, what its flags describe.
type explainCommand struct {
	explain.Command
	Pod string `placeholder:"NAMESPACE/POD" help:"Explain the containers of this Pod."`
	All bool   `help:"Explain all containers of this machine."`
}

// explainTime bounds how long inventories may take to answer.
const explainTime = 15 * time.Second

// Run is called by kong.
func (c *explainCommand) Run(k *kong.Context) error {
	if !c.All && c.Pod == "" && c.Container == "" {
		return c.Command.Run(k)
	}
	if c.CheckOutputs {
		return errors.Join(c.Checker(context.Background(), k.Stdout, c.JSON), c.explainContainers(k))
	}
	return c.explainContainers(k)
}

// explainContainers explains the containers of this host that the flags select.
func (c *explainCommand) explainContainers(k *kong.Context) error {
	var s processSettings
	if err := command.Load(config.Environ(), &s.Common, &s.Node); err != nil {
		return err
	}
	a, err := evaluateAll(&s)
	if err != nil {
		return err
	}
	all := a.explain(func(v *view) bool {
		return c.All || c.Pod != "" && v.Pod.Namespace+"/"+v.Pod.Name == c.Pod ||
			c.Container != "" && (v.Name == c.Container || strings.HasPrefix(v.BareID(), c.Container) || v.Pod.Container == c.Container)
	})
	if len(all) == 0 {
		return errors.New("there is no such container on this machine; explain --all lists them")
	}
	return printExplained(k.Stdout, all, c.JSON)
}

// evaluateAll finds and evaluates the containers of this host. It collects nothing.
func evaluateAll(s *processSettings) (*agent, error) {
	h, err := findHost(s.HostRoot)
	if err != nil {
		return nil, command.WithCode(err, command.ExitUsage)
	}
	log := slog.New(slog.DiscardHandler)
	sources, err := newSources(s.Node, h, config.Environ(), log)
	if err != nil {
		return nil, command.WithCode(err, command.ExitUsage)
	}
	a := newAgent(s.Node, h, s.HostName(), dialectOf(s), func(d declare.Declaration) []string { return d.Outputs }, log)
	a.tailer, a.self, a.shows = idle{}, "", true
	if s.ConfigFile != "" {
		data, err := os.ReadFile(s.ConfigFile)
		if err != nil {
			return nil, err
		}
		a.setRules(a.dialect.Rules(declare.ReadFile(s.ConfigFile, data)))
	}
	ctx, stop := context.WithTimeout(context.Background(), explainTime)
	defer stop()
	a.now = func() time.Time { return time.Now().Add(answerTime) } // evaluate without waiting for other inventories
	a.listed = func(all map[string]error) {
		if len(all) == sources.count() {
			stop()
		}
	}
	sources.follow(ctx, a)
	return a, nil
}

// idle is a tailer that does nothing.
type idle struct{}

func (idle) Put(tail.Origin) []*tail.SelectionError { return nil }
func (idle) End(string)                             {}
func (idle) Stopped(string, bool)                   {}
func (idle) Withdraw(string)                        {}

// explained is the explanation of one container.
type explained struct {
	Container string            `json:"container"`
	ID        string            `json:"id"`
	Runtime   string            `json:"runtime"`
	Image     string            `json:"image"`
	Running   bool              `json:"running"`
	LeftOut   string            `json:"left_out,omitempty"`
	Logs      []explainedLog    `json:"logs"`
	Problems  []declare.Problem `json:"problems"`
}

type explainedLog struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Target string `json:"target"`
	Format string `json:"format"`
	Where  string `json:"where"`
}

// explain returns what is collected from the containers that chosen selects.
func (a *agent) explain(chosen func(*view) bool) (all []explained) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(a.subjects)) {
		s := a.subjects[key]
		v := s.view()
		if !chosen(&v) {
			continue
		}
		e := explained{Container: v.name(), ID: v.ID, Runtime: v.Runtime, Image: v.Image, Running: v.Running, LeftOut: s.left,
			Logs: []explainedLog{}, Problems: slices.Concat([]declare.Problem{}, s.problems, s.warnings)}
		for _, id := range slices.Sorted(maps.Keys(s.put)) {
			p := s.put[id]
			for _, name := range slices.Sorted(maps.Keys(p.route.declarations)) {
				d := p.route.declarations[name]
				e.Logs = append(e.Logs, explainedLog{Name: name, Source: d.Source, Target: d.Target, Format: d.Format, Where: p.way})
			}
		}
		for _, d := range s.captured {
			e.Logs = append(e.Logs, explainedLog{Name: d.Name, Source: declare.Stdout, Target: d.Target, Format: d.Format, Where: "captured by " + loggerName})
		}
		all = append(all, e)
	}
	return all
}

func printExplained(w io.Writer, all []explained, asJSON bool) error {
	if asJSON {
		body, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return err
		}
		_, err = w.Write(append(escape.JSON(body), '\n'))
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range all {
		fmt.Fprintf(t, "%s (%s, %s)\n", escape.Text(e.Container), e.Runtime, escape.Text(e.Image))
		switch {
		case e.LeftOut != "":
			fmt.Fprintf(t, "  left out: %s\n", e.LeftOut)
		case len(e.Logs) == 0 && len(e.Problems) == 0:
			fmt.Fprintln(t, "  declares nothing, and no rule chooses it")
		}
		for _, l := range e.Logs {
			fmt.Fprintf(t, "  %s\t%s\tformat %s\ttarget %s\t%s\n", l.Name, escape.Text(l.Source), l.Format, escape.Text(l.Target), escape.Text(l.Where))
		}
		for _, p := range e.Problems {
			fmt.Fprintf(t, "  problem: %s: %s\n", escape.Text(p.Key), escape.Text(p.Message))
		}
	}
	return t.Flush()
}

// count returns the number of sources that exist or that REMORA_RUNTIME names.
func (f *sources) count() (n int) {
	for i := range f.all {
		if _, ok := f.find(&f.all[i]); ok || f.all[i].asked {
			n++
		}
	}
	return n
}

var _ containers.Sink = (*agent)(nil)
