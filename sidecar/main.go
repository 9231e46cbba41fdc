// SPDX-License-Identifier: Apache-2.0

// Command remora-sidecar tails the files that the applications of a Pod write, and delivers them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/explain"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/telemetry"
)

var version = "devel" // set by the linker

// cli is the command line. All settings come from the environment, since that is what a Pod says of its containers.
type cli struct {
	Run     runCommand       `cmd:"" default:"1" help:"Tail and deliver. This is what happens without a command."`
	Drain   drainCommand     `cmd:"" help:"Make the running sidecar deliver all there is, unterminated lines too, and wait for that: for a preStop hook."`
	Status  statusCommand    `cmd:"" help:"Show how the running sidecar is doing: what it reads, sends, drops, and why."`
	Explain explain.Command  `cmd:"" help:"Tell what would be collected, and what is wrong with what is declared."`
	Version kong.VersionFlag `help:"Print the version."`
}

// Exit codes.
const (
	exitFailure = 1 // what was asked for could not be done
	exitUsage   = 2 // the command line or a setting is wrong
	exitLeft    = 3 // not everything could be delivered in time
)

const description = `Remora, the sidecar: tails the files that the applications of a Pod write to a shared volume, and delivers them.

What to collect is declared by variables, aliyun_logs_NAME=/logs/*.log, by a file in YAML (REMORA_CONFIG), or by
annotations of the Pod (REMORA_ANNOTATIONS); explain tells what comes of them. SIGTERM makes it read every file to its
end, deliver that within REMORA_DRAIN_TIMEOUT, and end.

Exit status: 0 success, and nothing was left to deliver; 1 it could not be done; 2 the command line or a setting is
wrong; 3 something was left to deliver, which the next start goes on with.`

func main() {
	var c cli
	c.Explain.Outputs = registry.Names()
	parser := kong.Must(&c, kong.Name("remora-sidecar"), kong.Description(description), kong.Help(config.Help(config.SidecarSections)),
		kong.Vars{"version": version}, kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}))
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "remora-sidecar:", err)
		os.Exit(exitUsage)
	}
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "remora-sidecar:", err)
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			os.Exit(coded.ExitCode())
		}
		os.Exit(exitFailure)
	}
}

// codedError is an error with an exit code.
type codedError struct {
	error
	code int
}

func (e codedError) ExitCode() int { return e.code }
func (e codedError) Unwrap() error { return e.error }

type runCommand struct{}

// Run tails until SIGTERM or SIGINT, and then drains.
func (*runCommand) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return run(ctx, config.Environ(), os.Environ())
}

type drainCommand struct{}

// Run waits until the sidecar that shares the state directory has delivered what there is.
func (*drainCommand) Run(k *kong.Context) error {
	s, err := loadSettings(config.Environ())
	if err != nil {
		return err
	}
	return askDrain(s.StateDir, s.DrainTimeout, k.Stdout)
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
