// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// OutputNames are the names that LOGGING_OUTPUT and a declaration's output may hold.
func OutputNames() []string { return registry.Names() }

// Load fills each of parts as command.Load does, and refuses outputs that there are not.
func Load(environ map[string]string, parts ...any) error {
	wrong := []error{config.Load(environ, parts...)}
	for _, p := range parts {
		if p, ok := p.(interface{ OutputNames() []string }); ok {
			wrong = append(wrong, config.CheckOutputs(p.OutputNames(), registry.Names()))
		}
	}
	return command.WithCode(errors.Join(wrong...), command.ExitUsage)
}

// Sections is the table of all settings of a process: parts, which are the way in's own, under its title; those that all
// ways in share; those of the outputs.
func Sections(title string, parts ...any) []settings.Section {
	own := settings.Section{Title: title}
	for _, p := range parts {
		own.Settings = append(own.Settings, settings.List(p)...)
	}
	common := settings.Section{Title: "Both", Settings: append(settings.List(new(config.Common)), settings.List(new(pipeline.Config))...)}
	return append([]settings.Section{own, common}, registry.Sections()...)
}

// StatusCommand is the subcommand that prints the status of the process that runs with the same settings.
type StatusCommand struct{ telemetry.Command }

// Run is called by kong.
func (c *StatusCommand) Run(k *kong.Context) error {
	var at config.Status
	if err := command.Load(config.Environ(), &at); err != nil {
		return err
	}
	network, address := at.ListenAddress()
	return c.Command.Run(context.Background(), k.Stdout, telemetry.Address{Network: network, Address: address})
}
