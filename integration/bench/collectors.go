// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/remora-logs/remora/integration/bench/installed"
)

// collector is a program that does a job.
type collector struct {
	name     string
	protocol string // how it delivers, if not by Elasticsearch's bulk API
	// command prepares what the collector needs in j.dir and returns the command to start it; bin is a peer's binary. An error
	// that wraps errNoPart means that the collector can't do this job.
	command func(bin string, j *job) (*exec.Cmd, error)
	bin     string
}

// Collectors that need no foreign binary.
const (
	bareLoop   = "bare loop"
	kernelLoop = "kernel's loop"
	kafkaLoop  = "kafka's loop"
	remoraName = "remora"
	remoraNode = "remora-node"
)

// errNoPart means that a collector can't do the job.
var errNoPart = errors.New("takes no part")

// known are all collectors in the order of the report. Peers have the names of their binaries, and take part if they are
// installed.
var known = []collector{
	{name: bareLoop, command: func(_ string, j *job) (*exec.Cmd, error) {
		if j.parse || j.codec != "" || j.kafka {
			return nil, fmt.Errorf("%w: it only carries raw lines, to Elasticsearch", errNoPart)
		}
		self, err := os.Executable()
		return exec.Command(self, "bare", j.file, j.url()+"/bench/_bulk"), err
	}},
	{name: remoraName, command: remora},
	{name: kernelLoop, command: kernelCommand},
	{name: kafkaLoop, command: kafkaLoopCommand},
	{name: remoraName, protocol: "JSON lines, zstd", command: remoraLines},
	{name: remoraNode, command: nodeAgent},
	{name: "fluent-bit", command: fluentBit},
	{name: "file.d", command: fileD},
	{name: "vlagent", protocol: "JSON lines, zstd", command: vlagent},
	{name: "otelcol", protocol: "OTLP/JSON", command: otelcol},
	{name: "rsyslogd", command: rsyslog},
}

// found returns the installed collectors that are in only, or all of them if only is empty.
func found(only []string) (all []collector) {
	for _, c := range known {
		if len(only) > 0 && !slices.Contains(only, c.name) {
			continue
		}
		if c.bin = installed.Find(c.name); c.bin != "" || c.loop() || c.ours() {
			all = append(all, c)
		}
	}
	return all
}

// takesPart returns the collectors for a job.
func takesPart(j job, only []string) []collector {
	switch {
	case j.outputs:
		return outputRows()
	case j.two:
		return twoRows()
	}
	return found(only)
}

// label returns the collector's name in the report.
func (c *collector) label() string {
	if c.protocol == "" {
		return c.name
	}
	return c.name + " (" + c.protocol + ")"
}

// ours reports whether it is one of Remora's programs.
func (c *collector) ours() bool { return c.name == remoraName || c.name == remoraNode }

// loop reports whether it is one of the bench's own yardsticks.
func (c *collector) loop() bool {
	return c.name == bareLoop || c.name == kernelLoop || c.name == kafkaLoop
}
