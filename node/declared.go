// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/tail"
	"github.com/remora-logs/remora/shared/telemetry"
)

// matches holds the files of each declaration of each origin.
type matches struct {
	files map[matched][]tail.File
	busy  []string // origins that did not answer
}

type matched struct{ origin, declaration string }

func countMatches(files []tail.File, busy []string) matches {
	m := matches{files: map[matched][]tail.File{}, busy: busy}
	for i := range files {
		for _, name := range files[i].Declarations {
			of := matched{files[i].Origin, name}
			m.files[of] = append(m.files[of], files[i])
		}
	}
	return m
}

// of returns the files of one declaration of an origin. n is their number, or -1 if it is not known.
func (m *matches) of(p *put, declaration string) (found []telemetry.File, n int) {
	if slices.Contains(m.busy, p.origin.ID) {
		return nil, -1
	}
	for _, f := range m.files[matched{p.origin.ID, declaration}] {
		found = append(found, telemetry.File{Declaration: declaration, Path: p.route.path(f.Path), Size: f.Size, Offset: f.Offset, State: f.State})
	}
	return found, len(found)
}

// declared returns the declarations of everything that is collected.
func (n *node) declared() []telemetry.Declaration {
	m := countMatches(n.tailer.Files(func(string) bool { return true }))
	return append(n.agent.declarations(&m), n.loggers.routes.Declared()...)
}

// declarations returns the declarations for the host's files and then those of containers, each in the order of their keys.
func (a *agent) declarations(m *matches) (all []telemetry.Declaration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(a.hostRules)) {
		p := a.hostRules[id]
		all = a.appendPut(all, "", &p, m)
	}
	for _, key := range slices.Sorted(maps.Keys(a.subjects)) {
		s := a.subjects[key]
		if len(s.put) == 0 && s.left == "" {
			continue
		}
		v := s.view()
		for _, id := range slices.Sorted(maps.Keys(s.put)) {
			p := s.put[id]
			all = a.appendPut(all, v.name(), &p, m)
		}
		if s.left != "" {
			for _, d := range a.declared(&v).Declarations {
				all = append(all, a.describe(v.name(), d, declaredSources(d), telemetry.Declaration{Files: -1, LeftOut: s.left}))
			}
		}
	}
	return all
}

// appendPut appends the declarations of one origin.
func (a *agent) appendPut(all []telemetry.Declaration, container string, p *put, m *matches) []telemetry.Declaration {
	for _, name := range slices.Sorted(maps.Keys(p.route.declarations)) {
		d := p.route.declarations[name]
		sources := d.Paths()
		if p.output {
			sources = []string{declare.Stdout}
		}
		of := telemetry.Declaration{Where: p.way}
		of.Found, of.Files = m.of(p, name)
		all = append(all, a.describe(container, d, sources, of))
	}
	return all
}

// describe returns of with the fields that come from the declaration itself.
func (a *agent) describe(container string, d declare.Declaration, sources []string, of telemetry.Declaration) telemetry.Declaration {
	of.Container, of.Name, of.Sources, of.Target, of.Format, of.Outputs = container, d.Name, sources, d.Target, d.Format, a.outputs(d)
	return of
}

func declaredSources(d declare.Declaration) []string {
	sources := d.Paths()
	if d.HasStdout() {
		sources = append([]string{declare.Stdout}, sources...)
	}
	return sources
}
