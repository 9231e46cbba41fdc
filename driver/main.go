// SPDX-License-Identifier: Apache-2.0

// Command remora-driver is a log driver for the Docker engine: a managed plugin that captures the stdout and stderr of
// containers, stores them on disk, and delivers them.
package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/explain"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pilot"
	"github.com/remora-logs/remora/shared/try"
)

var version = "devel" // set by the linker

// defaultTarget is the default of config.Driver, for explain, which works without settings.
const defaultTarget = "docker"

// cli is the command line. All settings come from the environment, which is all that an engine can set for a plugin.
type cli struct {
	Run     runCommand             `cmd:"" default:"1" help:"Run the log driver (default)."`
	Status  deliver.StatusCommand  `cmd:"" help:"Show what the running driver collects, sends and drops, and its errors."`
	Tail    deliver.TailCommand    `cmd:"" help:"Show records of a container as they are delivered."`
	Support deliver.SupportCommand `cmd:"" help:"Write a bundle for a problem report, without secrets."`
	Explain explain.Command        `cmd:"" help:"Show what would be collected from a container, and errors in its declarations."`
	Check   deliver.CheckCommand   `cmd:"" help:"Check settings, files, rights, disk, sockets and outputs, and say what to do. Sends nothing that stays."`
	Try     try.Command            `cmd:"" help:"Show the records that a format and filters make of a sample, and which lines do not match."`
	Version kong.VersionFlag       `help:"Print the version."`
}

const description = `Remora, the log driver: collects what containers write to stdout and stderr, and delivers it.

The engine runs it as a managed plugin; settings are environment variables (docker plugin set remora NAME=VALUE).

Exit status: 0 success; 1 the command failed; 2 the command line or a setting is wrong.`

func main() {
	ofPilot := pilot.Adopt()
	var c cli
	c.Run.warnings = ofPilot
	c.Explain.Effects = pilot.Effects(config.Environ())
	c.Explain.FileOutputs = deliver.FileOutputs
	c.Explain.Checker = deliver.OutputChecker(new(config.Driver))
	c.Explain.Outputs, c.Explain.Options = deliver.OutputNames(config.Environ()), ownOptions
	c.Explain.CheckOptions, c.Explain.Protected = checkOptions, deliver.Protected()
	c.Explain.DefaultTarget = cmp.Or(os.Getenv("REMORA_DEFAULT_TARGET"), defaultTarget)
	c.Status.Sockets = []string{filepath.Join(filepath.Dir(plugin.Socket), statusSocket)}
	c.Tail.Sockets = c.Status.Sockets
	c.Check = checkCommand()
	c.Support = deliver.SupportCommand{Sockets: c.Status.Sockets, Settings: settingsTable, Version: version}
	command.Program{
		Name: "remora-driver", Description: description, Version: version, Settings: settingsTable,
		Vars: kong.Vars{"socket": plugin.Socket},
	}.Main(&c)
}

func settingsTable() []settings.Section { return deliver.Sections("Driver", new(config.Driver)) }

// checkOptions returns the problems in the values of ownOptions, for explain.
func checkOptions(options map[string]string) []declare.Problem {
	var found problems
	found.policy(options)
	var all []declare.Problem
	for _, p := range found.all {
		all = append(all, declare.Problem{Key: p.Key, Message: p.Message})
	}
	return all
}

type runCommand struct {
	Socket string `default:"${socket}" help:"Where the engine looks for the plugin." hidden:""`

	warnings []string // about settings of log-pilot's
}

// Run serves until SIGTERM or SIGINT.
func (r *runCommand) Run() error {
	ctx, stop := command.Signals()
	defer stop()
	return run(ctx, config.Environ(), r.Socket, r.warnings...)
}
