// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os/exec"
	"path/filepath"

	"github.com/remora-logs/remora/integration/bench/installed"
)

// peer is a collector. Each has a file of its own, with the configuration that its documentation recommends for who does not
// want to lose anything.
type peer interface {
	name() string
	version(bin string) string
	// form is what it reads.
	form() form
	// command prepares what the collector needs in p.dir, and returns how to start it; it is called for each start. An error that
	// wraps errNoPart means that it has nothing that would do it.
	command(bin string, p *place) (*exec.Cmd, error)
}

// peers are all, in the order of the report.
var peers = []peer{sidecar{}, nodeAgent{}, plugin{}, fluentBit{}, fileD{}, vlagent{}, otelcol{}, rsyslog{}}

// attacher is a peer that has to be told of the container when it has started for the first time.
type attacher interface {
	attach(p *place) error
}

// errNoPart is that a collector can't take part in a scenario.
var errNoPart = errors.New("takes no part")

// place is what a collector finds: files, a directory for its state, and a backend.
type place struct {
	root   string // of the machine
	logs   *logs
	dir    string // for configurations
	state  string
	port   int
	server string // host:port
	// evil is a second file, whose lines go to the index forbidden; empty where there is none.
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

// find returns a peer's binary; empty where it is not installed.
func find(p peer, bins string) string {
	switch p.(type) {
	case sidecar, nodeAgent, plugin:
		return filepath.Join(bins, p.name())
	}
	return installed.Find(p.name())
}
