// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/output/otlp"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// OutputNames returns the names that LOGGING_OUTPUT and a declaration's output may have in a process with these variables: the
// kinds of outputs, and the outputs of the file REMORA_CONFIG, as far as it can be read.
func OutputNames(environ map[string]string) []string {
	outputs, _ := catalog(environ)
	return outputs.Names()
}

// FileOutputs returns the outputs that the file at path names, if it is a file for REMORA_CONFIG.
func FileOutputs(path string) ([]string, error) {
	outputs, err := registry.ReadCatalog(nil, path)
	return outputs.Unused(nil), err
}

// catalog returns the outputs that a process with these variables may have. The catalog is usable even if there is an error.
func catalog(environ map[string]string) (*registry.Catalog, error) {
	outputs, err := registry.ReadCatalog(environ, environ["REMORA_CONFIG"])
	return outputs, command.WithCode(err, command.ExitUsage)
}

// Load fills each of parts as command.Load does, and also checks the names of outputs, the export of metrics and the settings in
// the file REMORA_CONFIG.
func Load(environ map[string]string, parts ...any) error {
	return checked(environ, config.Load(environ, parts...), parts)
}

// LoadValid fills each of parts as config.LoadValid does, and returns the error that Load would.
func LoadValid(environ map[string]string, parts ...any) error {
	return checked(environ, config.LoadValid(environ, parts...), parts)
}

// checked adds to err, which is about the values in parts, what is wrong with outputs and with the settings in the file.
func checked(environ map[string]string, err error, parts []any) error {
	file := config.ReadFile(environ[config.FileVariable])
	metrics, wrong := otlp.OpenMetrics(environ)
	if metrics != nil {
		_ = metrics.Close() // nothing was sent
	}
	err = errors.Join(file.Explain(errors.Join(err, wrong), environ), file.Check(AllSections()), checkOutputs(environ, parts))
	return command.WithCode(err, command.ExitUsage)
}

// AllSections returns all settings of all ways in. The file REMORA_CONFIG may set any of them, so that one file serves several
// processes.
func AllSections() []settings.Section {
	return Sections("Ways in", new(config.Node), new(config.Loggers), new(config.Driver), new(config.Sidecar), new(origin.Pod))
}

// checkOutputs checks the names in LOGGING_OUTPUT, if one of parts holds them, and the file that names outputs.
func checkOutputs(environ map[string]string, parts []any) error {
	var wrong []error
	for _, p := range parts {
		p, ok := p.(interface{ OutputNames() []string })
		if !ok {
			continue
		}
		outputs, err := catalog(environ)
		wrong = append(wrong, err)
		if err := config.CheckOutputs(p.OutputNames(), outputs.Names()); err != nil {
			wrong = append(wrong, err, outputs.Unread())
		}
		if _, only := p.(*config.Driver); only {
			for _, s := range outputs.Others() {
				if s.Key == "settings" {
					continue
				}
				wrong = append(wrong, fmt.Errorf("REMORA_CONFIG, line %d: %s has no effect in the log driver; its file holds settings and outputs alone", s.Line, s.Key))
			}
		}
	}
	return errors.Join(wrong...)
}

// Sections returns all settings of a process: those of parts, which are the way in's own, under its title, then those that all
// ways in share, then those of the outputs.
func Sections(title string, parts ...any) []settings.Section {
	own := settings.Section{Title: title}
	for _, p := range parts {
		own.Settings = append(own.Settings, settings.List(p)...)
	}
	common := settings.Section{Title: "Both", Settings: append(settings.List(new(config.Common)), settings.List(new(pipeline.Config))...)}
	common.Settings = append(common.Settings, settings.List(new(otlp.MetricsConfig))...)
	return append([]settings.Section{own, common}, registry.Sections()...)
}

// Protected returns the variables that no declaration may use, because they are settings of Remora or of an output.
func Protected() []string {
	var names []string
	for _, section := range Sections("", new(config.Driver), new(config.Sidecar)) {
		for _, s := range section.Settings {
			names = append(names, s.Name, s.Name+"_FILE")
		}
	}
	return names
}

// WarnOfUnknown logs a warning for each variable that looks like a setting and is in none of sections.
func WarnOfUnknown(log *slog.Logger, environ map[string]string, sections []settings.Section) {
	for _, u := range config.Unknown(environ, sections) {
		if u.Near == "" {
			notice.SettingUnknown.Log(log, "variable", u.Name)
		} else {
			notice.SettingUnknown.Log(log, "variable", u.Name, "did_you_mean", u.Near)
		}
	}
}

// addresses returns the addresses at which a process serves its status, the surest to reach the right process first.
func addresses(at config.Status, sockets []string) []telemetry.Address {
	all := []telemetry.Address{{Network: "unix", Address: at.Socket()}}
	for _, s := range sockets {
		all = append(all, telemetry.Address{Network: "unix", Address: s})
	}
	if network, address := at.ListenAddress(); address != all[0].Address {
		all = append(all, telemetry.Address{Network: network, Address: address})
	}
	return all
}

// StatusCommand is the subcommand that prints the status of the process that runs with the same settings.
type StatusCommand struct {
	telemetry.Command
	Sockets []string `kong:"-"` // as in Options
}

// Run is called by kong.
func (c *StatusCommand) Run(k *kong.Context) error {
	var at config.Status
	if err := command.Load(config.Environ(), &at); err != nil {
		return err
	}
	ctx, stop := command.Signals()
	defer stop()
	return c.Command.Run(ctx, k.Stdout, addresses(at, c.Sockets)...)
}
