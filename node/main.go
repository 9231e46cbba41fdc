// SPDX-License-Identifier: Apache-2.0

// Command remora-node collects the logs of all containers of a host: their output, from the files in which the runtime stores
// it, and files inside the containers.
package main

import (
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pilot"
	"github.com/remora-logs/remora/shared/try"
)

var version = "devel" // set by the linker

// cli is the command line. All settings come from the environment, as a DaemonSet or a service sets it.
type cli struct {
	Run     runCommand             `cmd:"" default:"1" help:"Run the node agent (default)."`
	Status  deliver.StatusCommand  `cmd:"" help:"Show what the running agent collects, sends and drops, and its errors."`
	Tail    deliver.TailCommand    `cmd:"" help:"Show records of a container as they are delivered."`
	Support deliver.SupportCommand `cmd:"" help:"Write a bundle for a problem report, without secrets."`
	Explain explainCommand         `cmd:"" help:"Show what would be collected of which container, where its files are, and errors in declarations."`
	Logs    logsCommand            `cmd:"" help:"Show what a container wrote whose output containerd's logging binary captures."`
	Check   deliver.CheckCommand   `cmd:"" help:"Check settings, files, rights, disk, sockets and outputs, and say what to do. Sends nothing that stays."`
	Try     try.Command            `cmd:"" help:"Show the records that a format and filters make of a sample, and which lines do not match."`
	Migrate migrateCommand         `cmd:"" help:"Turn log-pilot's manifest into one of the node agent, and say what is different."`
	Healthz healthzCommand         `cmd:"" help:"Succeed if the running agent is alive. A liveness probe."`
	Version kong.VersionFlag       `help:"Print the version."`
}

const description = `Remora, the node agent: collects what all containers of a machine write, and delivers it.

Containers declare what to collect by labels, variables or annotations (aliyun.logs.NAME=stdout, aliyun_logs_NAME=/PATH);
rules in a file (REMORA_CONFIG) declare it for them. The command explain shows the result.

Exit status: 0 success; 1 the command failed; 2 the command line or a setting is wrong.`

func main() {
	if filepath.Base(os.Args[0]) == "healthz" { // log-pilot's liveness probe: /pilot/healthz
		os.Args = []string{os.Args[0], "healthz"}
	}
	ofPilot := pilot.AdoptOnNode()
	var c cli
	c.Run.warnings = append(ofPilot, pilot.UnusedFiles()...)
	c.Explain.FileOutputs = deliver.FileOutputs
	c.Explain.Checker = deliver.OutputChecker(new(config.Node))
	c.Explain.Outputs = deliver.OutputNames(config.Environ())
	c.Explain.Protected, c.Explain.Effects = deliver.Protected(), pilot.Effects(config.Environ())
	c.Check = checkCommand()
	c.Support = deliver.SupportCommand{Settings: settingsTable, Version: version}
	command.Program{Name: "remora-node", Description: description, Version: version, Settings: settingsTable}.Main(&c)
}

func settingsTable() []settings.Section {
	return deliver.Sections("Node agent", new(config.Node), new(config.Loggers))
}

type runCommand struct {
	warnings []string // about settings of log-pilot's
}

// Run collects until SIGTERM or SIGINT.
func (r *runCommand) Run() error {
	ctx, stop := command.Signals()
	defer stop()
	return run(ctx, config.Environ(), r.warnings...)
}
