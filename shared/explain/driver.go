// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/origin"
)

// pluginSettings are the plugin's settings that change what is collected.
type pluginSettings struct {
	prefix, target string
	outputs        []string
	readLogs       bool
}

// askPlugin asks the engine for the settings of a plugin. It returns defaults if the engine does not know it.
func askPlugin(ctx context.Context, host, name string) (s pluginSettings) {
	var plugin struct{ Settings struct{ Env []string } }
	if get(ctx, host, (&url.URL{Path: "/plugins/" + name + "/json"}).EscapedPath(), &plugin) != nil {
		return s
	}
	for _, variable := range plugin.Settings.Env {
		name, value, _ := strings.Cut(variable, "=")
		switch name {
		case "PILOT_LOG_PREFIX":
			s.prefix = value
		case "REMORA_DEFAULT_TARGET":
			s.target = value
		case "LOGGING_OUTPUT":
			s.outputs = declare.SplitList(value)
		case "READ_LOGS":
			s.readLogs = slices.Contains([]string{"1", "t", "T", "true", "TRUE", "True"}, value) // as strconv.ParseBool
		}
	}
	return s
}

// driverWarnings returns what the log driver does not do of what the container declares.
func (c *Command) driverWarnings(u unit, set declare.Set) []declare.Problem {
	if !u.driver {
		if u.logDriver != "" && len(set.Declarations) > 0 {
			return []declare.Problem{{Key: "--log-driver", Message: fmt.Sprintf("the container's log driver is %s: the plugin collects nothing of it; what it declares is for a sidecar or a node agent", escape.Word(u.logDriver))}}
		}
		return nil
	}
	warnings := declare.WarnOfCache(u.input.Options, u.plugin.readLogs)
	if c.CheckOptions != nil {
		warnings = append(warnings, c.CheckOptions(u.input.Options)...)
	}
	for _, d := range set.Declarations {
		for _, path := range d.Paths() {
			warnings = append(warnings, declare.Problem{Key: d.Name, Message: escape.Word(path) + " is a file: the log driver collects stdout and stderr only, files are collected by a sidecar or a node agent"})
		}
	}
	_, errs := u.container.Attributes(u.input.Options)
	for _, err := range errs {
		warnings = append(warnings, declare.Problem{Key: "--log-opt", Message: err.Error()})
	}
	return warnings
}

// driverNotes returns what the log driver does beyond the declarations.
func driverNotes(u unit, set declare.Set, dialect *declare.Dialect) (notes []string) {
	isStdout := func(d declare.Declaration) bool { return d.HasStdout() }
	u.input.DefaultTarget = ""
	if !slices.ContainsFunc(dialect.Read(u.input).Declarations, isStdout) && slices.ContainsFunc(set.Declarations, isStdout) {
		notes = append(notes, "stdout and stderr are collected because the container uses this log driver; nothing declares them")
	}
	tags, _ := u.container.Attributes(u.input.Options)
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = escape.Word(t.Key)
	}
	if len(names) > 0 {
		notes = append(notes, "every record is tagged with "+strings.Join(names, ", ")+", as the options labels, env and tag ask for")
	}
	return notes
}

// liveUnit returns the unit of a container that the engine described.
func liveUnit(i inspection, plugin pluginSettings) unit {
	u := unit{
		logDriver: i.HostConfig.LogConfig.Type, driver: IsRemora(i.HostConfig.LogConfig.Type), live: true, plugin: plugin, prefix: plugin.prefix,
		input: declare.Input{Labels: i.Config.Labels, Env: i.Config.Env},
	}
	if u.driver {
		u.input.Options = i.HostConfig.LogConfig.Config
		u.container = origin.Container{
			ID: i.ID, Name: i.Name, ImageID: i.Image, ImageName: i.Config.Image, Args: i.Args, Entry: i.Path,
			Labels: i.Config.Labels, Env: i.Config.Env,
		}
	}
	return u
}

// targetOf returns the target of undeclared stdout.
func (c *Command) targetOf(u unit) string { return cmp.Or(u.plugin.target, c.DefaultTarget) }
