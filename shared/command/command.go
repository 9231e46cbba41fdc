// SPDX-License-Identifier: Apache-2.0

// Package command is the common part of every Remora process: command line, exit codes, settings, logger, signals. It links
// neither outputs nor the pipeline; package deliver adds what a process needs to deliver.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Exit codes of every Remora command.
const (
	ExitFailure = 1 // the command failed
	ExitUsage   = 2 // the command line or a setting is wrong
	ExitLeft    = 3 // not everything could be read and delivered in time
)

// exitError is an error with an exit code. kong.ExitCoder is the interface that Main looks for.
type exitError struct {
	error
	code int
}

func (e exitError) ExitCode() int { return e.code }
func (e exitError) Unwrap() error { return e.error }

// WithCode returns err with an exit code for Main. A nil error stays nil.
func WithCode(err error, code int) error {
	if err == nil {
		return nil
	}
	return exitError{err, code}
}

// IsUsage reports whether err exits with ExitUsage.
func IsUsage(err error) bool {
	var coded kong.ExitCoder
	return errors.As(err, &coded) && coded.ExitCode() == ExitUsage
}

// Program is a binary's command line.
type Program struct {
	Name, Description, Version string
	// Settings returns the table of settings that --help ends with.
	Settings func() []settings.Section
	// Vars are the variables in the tags of the command line's structs, in addition to ${version}.
	Vars kong.Vars
}

// Main parses the process's arguments into cli, a kong struct, runs the chosen command and exits with its code.
func (p Program) Main(cli any) {
	os.Exit(p.run(cli, os.Args[1:], os.Stdout, os.Stderr))
}

func (p Program) run(cli any, args []string, stdout, stderr io.Writer) int {
	parser := kong.Must(cli, kong.Name(p.Name), kong.Description(p.Description), kong.Help(help(p.Settings)), p.Vars,
		kong.Vars{"version": p.Version}, kong.Writers(stdout, stderr), kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}))
	ctx, err := parser.Parse(args)
	if err != nil {
		return p.fail(WithCode(err, ExitUsage), stderr)
	}
	return p.fail(ctx.Run(), stderr)
}

// fail prints err unless it is nil, and returns its exit code.
func (p Program) fail(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	exit := ExitFailure
	var coded kong.ExitCoder
	if errors.As(err, &coded) {
		exit = coded.ExitCode()
	}
	fmt.Fprintf(stderr, "%s: %s (%s)\n", p.Name, escape.Lines(err.Error()), codeOf(err, exit))
	return exit
}

// codeOf returns the code of the notice that explains err.
func codeOf(err error, exit int) string {
	if code := notice.CodeOf(err); code != "" {
		return code
	}
	switch exit {
	case ExitUsage:
		return notice.SettingsWrong.Code
	case ExitLeft:
		return notice.NotDelivered.Code
	}
	return notice.CommandFailed.Code
}

// Load fills each of parts, pointers to structs of settings, from environ. Its error lists every invalid variable with the
// reason; its exit code is ExitUsage.
func Load(environ map[string]string, parts ...any) error {
	return WithCode(config.Load(environ, parts...), ExitUsage)
}

// Signals returns a context that ends with SIGTERM or SIGINT.
func Signals() (ctx context.Context, stop context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

// Settle tunes a long-running process: the garbage collector now, and the program's own pages after the start. stop cancels
// the latter.
func Settle(environ map[string]string, log *slog.Logger) (stop func() bool) {
	tuneMemory(environ, log)
	return forgetStartup(log)
}
