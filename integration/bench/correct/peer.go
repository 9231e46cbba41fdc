// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os/exec"
	"path/filepath"

	"github.com/remora-logs/remora/integration/bench/installed"
)

// peer is a collector. Each has its own file, with the configuration that its documentation recommends against losing data.
type peer interface {
	name() string
	version(bin string) string
	// form returns the form of the lines that it reads.
	form() form
	// command prepares what the collector needs in p.dir and returns the command to start it. It is called for each start. An
	// error that wraps errNoPart means that the collector can't take part.
	command(bin string, p *place) (*exec.Cmd, error)
}

// peers are all peers, in the order of the report.
var peers = []peer{sidecar{}, nodeAgent{}, plugin{}, fluentBit{}, fileD{}, vlagent{}, otelcol{}, rsyslog{}}

// attacher is a peer that must be told about the container when it has started for the first time.
type attacher interface {
	attach(p *place) error
}

// errNoPart means that a collector can't take part in a scenario.
var errNoPart = errors.New("takes no part")

// place is the environment of a collector: files, a directory for its state, and a backend.
type place struct {
	root   string // root directory of the machine
	logs   *logs
	dir    string // for configurations
	state  string
	port   int
	server string // host:port
	// evil is a second file, whose lines go to the index forbidden; empty if there is none.
	evil string
}

func (p *place) url() string { return "http://" + p.server }

// stream is a file and the index that its lines go to.
type stream struct{ name, path, index string }

func (p *place) streams() []stream {
	all := []stream{{"good", p.logs.path(), "bench"}}
	if p.evil != "" {
		all = append(all, stream{"evil", p.evil, forbiddenIndex})
	}
	return all
}

// find returns a peer's binary; empty if it is not installed.
func find(p peer, bins string) string {
	switch p.(type) {
	case sidecar, nodeAgent, plugin:
		return filepath.Join(bins, p.name())
	}
	return installed.Find(p.name())
}
