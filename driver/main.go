// SPDX-License-Identifier: Apache-2.0

// Command remora-driver is a log driver of the Docker engine: a managed plugin that takes what containers write to
// stdout and stderr, keeps it on disk, and delivers it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/explain"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/telemetry"
)

var version = "devel" // set by the linker

// defaultTarget is that of config.Driver, for explain, which works without any settings.
const defaultTarget = "docker"

// cli is the command line. All settings come from the environment, since that is what an engine can set of a plugin.
type cli struct {
	Run     runCommand       `cmd:"" default:"1" help:"Serve the engine. This is what happens without a command."`
	Status  statusCommand    `cmd:"" help:"Show how a running driver is doing: what it collects, sends, drops, and why."`
	Explain explain.Command  `cmd:"" help:"Tell what would be collected of a container, and what is wrong with what it declares."`
	Version kong.VersionFlag `help:"Print the version."`
}

// Exit codes.
const (
	exitFailure = 1 // what was asked for could not be done
	exitUsage   = 2 // the command line or a setting is wrong
)

const description = `Remora, the log driver: collects what containers write to stdout and stderr, and delivers it.

The engine runs it as a managed plugin; settings are environment variables (docker plugin set remora NAME=VALUE).

Exit status: 0 success; 1 it could not be done; 2 the command line or a setting is wrong.`

func main() {
	var c cli
	c.Explain.Outputs, c.Explain.Options = registry.Names(), ownOptions
	c.Explain.DefaultTarget = cmp.Or(os.Getenv("REMORA_DEFAULT_TARGET"), defaultTarget)
	parser := kong.Must(&c, kong.Name("remora-driver"), kong.Description(description), kong.Help(config.Help(config.DriverSections)),
		kong.Vars{"version": version, "socket": plugin.Socket}, kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}))
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "remora-driver:", err)
		os.Exit(exitUsage)
	}
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "remora-driver:", err)
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			os.Exit(coded.ExitCode())
		}
		os.Exit(exitFailure)
	}
}

// usageError is an error of the settings.
type usageError struct{ error }

func (e usageError) ExitCode() int { return exitUsage }
func (e usageError) Unwrap() error { return e.error }

// settings is all that the process was set to.
type settings struct {
	config.Common
	config.Driver
}

func loadSettings(environ map[string]string, parts ...any) (settings, error) {
	var s settings
	if err := config.Load(environ, append([]any{&s.Common, &s.Driver}, parts...)...); err != nil {
		return s, usageError{err}
	}
	return s, nil
}

type runCommand struct {
	Socket string `default:"${socket}" help:"Where the engine looks for the plugin." hidden:""`
}

// Run serves until SIGTERM or SIGINT.
func (r *runCommand) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return run(ctx, config.Environ(), r.Socket)
}

type statusCommand struct{ telemetry.Command }

// Run prints the status.
func (c *statusCommand) Run(k *kong.Context) error {
	s, err := loadSettings(config.Environ())
	if err != nil {
		return err
	}
	network, address := s.ListenAddress(s.StateDir)
	return c.Command.Run(context.Background(), network, address, k.Stdout)
}
