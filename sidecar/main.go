// SPDX-License-Identifier: Apache-2.0

// Command remora-sidecar tails the log files of a Pod's applications and delivers them.
package main

import (
	"os"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/explain"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pilot"
	"github.com/remora-logs/remora/shared/try"
)

var version = "devel" // set by the linker

// cli is the command line. All settings come from the environment, which a Pod sets for its containers.
type cli struct {
	Run     runCommand             `cmd:"" default:"1" help:"Run the sidecar (default)."`
	Drain   drainCommand           `cmd:"" help:"Flush the running sidecar, including unterminated lines, and wait (for preStop hooks)."`
	Status  deliver.StatusCommand  `cmd:"" help:"Show what the running sidecar reads, sends and drops, and its errors."`
	Tail    deliver.TailCommand    `cmd:"" help:"Show records of a container as they are delivered."`
	Support deliver.SupportCommand `cmd:"" help:"Write a bundle for a problem report, without secrets."`
	Explain explain.Command        `cmd:"" help:"Show what would be collected, and errors in the declarations."`
	Check   deliver.CheckCommand   `cmd:"" help:"Check settings, files, rights, disk, sockets and outputs, and say what to do. Sends nothing that stays."`
	Try     try.Command            `cmd:"" help:"Show the records that a format and filters make of a sample, and which lines do not match."`
	Version kong.VersionFlag       `help:"Print the version."`
}

const description = `Remora, the sidecar: tails the files that the applications of a Pod write to a shared volume, and delivers them.

Declare what to collect by variables (aliyun_logs_NAME=/logs/*.log), a YAML file (REMORA_CONFIG), or annotations of the Pod
(REMORA_ANNOTATIONS). The command explain shows the result. On SIGTERM the sidecar reads every file to its end, delivers
that within REMORA_DRAIN_TIMEOUT, and exits.

Exit status: 0 success, everything delivered; 1 the command failed; 2 the command line or a setting is wrong; 3 not
everything was delivered in time, the next start resumes there.`

func main() {
	ofPilot := append(pilot.Adopt(), pilot.UnusedFiles()...)
	var c cli
	c.Run.warnings = ofPilot
	c.Explain.FileOutputs = deliver.FileOutputs
	c.Explain.Checker = deliver.OutputChecker(new(config.Sidecar))
	c.Explain.Outputs = deliver.OutputNames(config.Environ())
	c.Explain.Protected, c.Explain.Effects = deliver.Protected(), pilot.Effects(config.Environ())
	c.Check = checkCommand()
	c.Support = deliver.SupportCommand{Settings: settingsTable, Version: version}
	command.Program{Name: "remora-sidecar", Description: description, Version: version, Settings: settingsTable}.Main(&c)
}

func settingsTable() []settings.Section {
	return deliver.Sections("Sidecar", new(config.Sidecar), new(origin.Pod))
}

type runCommand struct {
	warnings []string // about settings of log-pilot's
}

// Run tails files until SIGTERM or SIGINT, and then drains them.
func (r *runCommand) Run() error {
	ctx, stop := command.Signals()
	defer stop()
	return run(ctx, config.Environ(), os.Environ(), r.warnings...)
}

type drainCommand struct{}

// Run waits until the sidecar with the same state directory has drained.
func (*drainCommand) Run(k *kong.Context) error {
	var s processSettings
	if err := deliver.Load(config.Environ(), &s.Common, &s.Sidecar, &s.Pod); err != nil {
		return err
	}
	return askDrain(s.StateDir, s.DrainTimeout, k.Stdout)
}
