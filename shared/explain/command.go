// SPDX-License-Identifier: Apache-2.0

// Package explain shows what would be collected from a container, a Pod or a Compose file, and errors in its declarations.
// It collects nothing. Driver and sidecar have it as a command.
package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/origin"
)

// Command is the command line. The error of Run has an exit code: 1 if a declaration is refused, 2 if the command line is
// wrong or its input can't be read.
type Command struct {
	Label      []string `placeholder:"KEY=VALUE" sep:"none" help:"A label of the container. Can be repeated."`
	Env        []string `placeholder:"KEY=VALUE" sep:"none" help:"A variable of the container's or the sidecar's environment. Can be repeated."`
	Annotation []string `placeholder:"KEY=VALUE" sep:"none" help:"An annotation of the Pod. Can be repeated."`
	Container  string   `placeholder:"NAME" help:"Read labels, environment and log options of this container from the Docker engine."`
	File       string   `placeholder:"PATH" help:"Read them from a file: a Pod, a workload with a Pod template, a Compose file, or one for REMORA_CONFIG; - for standard input."`
	Prefix     string   `placeholder:"LIST" env:"PILOT_LOG_PREFIX" help:"Prefixes of labels and variables, comma-separated (default: aliyun)."`
	JSON       bool     `name:"json" help:"Print JSON instead of tables."`
	Sample     string   `placeholder:"PATH" help:"Also print the records that each declaration makes of the lines of this file, and which lines do not match."`
	// CheckOutputs can be given alone, or beside what is to be explained.
	CheckOutputs bool `name:"check-outputs" help:"Connect to the backend of every output, log in, send nothing that stays, and print what was seen."`

	// Checker does what CheckOutputs asks for.
	Checker func(ctx context.Context, w io.Writer, asJSON bool) error `kong:"-"`
	// Outputs are the outputs that a declaration may name; without any, every name is accepted.
	Outputs []string `kong:"-"`
	// Effects are what settings change in all records, for people.
	Effects []string `kong:"-"`
	// FileOutputs returns the outputs that File names, in the form of REMORA_CONFIG; it may be nil.
	FileOutputs func(path string) ([]string, error) `kong:"-"`
	// Protected are variables that no declaration may use.
	Protected []string `kong:"-"`
	// Options are log-opts of the driver's own, which are not declarations.
	Options []string `kong:"-"`
	// CheckOptions returns the problems of Options; it may be nil.
	CheckOptions func(options map[string]string) []declare.Problem `kong:"-"`
	// DefaultTarget is the target of stdout of a container that chose this driver and declares nothing.
	DefaultTarget string `kong:"-"`
	// Host is the engine's address in the form of DOCKER_HOST; empty means DOCKER_HOST.
	Host string `kong:"-"`
}

// Help is shown below the command's flags.
func (c *Command) Help() string {
	return `Example:
  explain --label aliyun.logs.web=stdout --env 'aliyun_logs_access=/logs/*.log'
  explain --check-outputs

Nothing is collected. Exit status: 0 no errors; 1 a declaration is refused, or an output would not deliver; 2 the command line is wrong.`
}

// status is an error with an exit code.
type status struct {
	error
	code int
}

func (s status) ExitCode() int { return s.code }
func (s status) Unwrap() error { return s.error }

// Run is called by kong.
func (c *Command) Run(ctx *kong.Context) error {
	var failed error
	if c.CheckOutputs && c.Checker != nil {
		failed = c.Checker(context.Background(), ctx.Stdout, c.JSON)
		if c.isEmpty() {
			return failed
		}
	}
	return errors.Join(failed, c.Explain(ctx.Stdout))
}

// isEmpty reports whether no flag names anything to explain.
func (c *Command) isEmpty() bool {
	return len(c.Label)+len(c.Env)+len(c.Annotation) == 0 && c.Container == "" && c.File == ""
}

// Explain writes the explanation to w.
func (c *Command) Explain(w io.Writer) error {
	units, err := c.units()
	if err != nil {
		return status{err, 2}
	}
	r := c.report(units)
	if c.JSON && c.Sample != "" {
		err = r.writeJSONSample(w, c.Sample)
	} else if c.JSON {
		err = r.writeJSON(w)
	} else if err = r.writeTable(w); err == nil && c.Sample != "" {
		err = r.writeSample(w, c.Sample)
	}
	if err != nil {
		return status{err, 2}
	}
	switch n := len(r.Errors); n {
	case 0:
		return nil
	case 1:
		return status{errors.New("1 error"), 1}
	default:
		return status{fmt.Errorf("%d errors", n), 1}
	}
}

// unit is one container or one sidecar, which is read as a whole.
type unit struct {
	name     string // the container's, if several are explained
	prefix   string // PILOT_LOG_PREFIX of its own environment or of the plugin
	driver   bool   // it uses this log driver: its options count, and its stdout is collected in any case
	input    declare.Input
	warnings []declare.Problem

	live      bool // the engine described it, so that all its options are known
	logDriver string
	plugin    pluginSettings
	container origin.Container
}

// units reads the containers that the flags name.
func (c *Command) units() ([]unit, error) {
	direct := len(c.Label)+len(c.Env)+len(c.Annotation) > 0
	switch {
	case direct && (c.Container != "" || c.File != "") || c.Container != "" && c.File != "":
		return nil, errors.New("--container, --file, and labels, variables or annotations exclude each other")
	case c.Container != "":
		return c.inspect(context.Background())
	case c.File == "-":
		return readUnits("standard input", os.Stdin)
	case c.File != "":
		f, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if c.FileOutputs != nil {
			names, err := c.FileOutputs(c.File)
			if err != nil {
				return nil, err
			}
			c.Outputs = append(slices.Clone(c.Outputs), names...)
		}
		return readUnits(c.File, f)
	case !direct:
		return nil, errors.New("nothing to explain: name a --label, an --env, an --annotation, a --container or a --file")
	}
	u := unit{input: declare.Input{Env: c.Env}}
	var err error
	if u.input.Labels, err = pairs("--label", c.Label); err == nil {
		u.input.Annotations, err = pairs("--annotation", c.Annotation)
	}
	for i := 0; err == nil && i < len(c.Env); i++ {
		if !strings.Contains(c.Env[i], "=") {
			err = fmt.Errorf("--env %q is not of the form KEY=VALUE", c.Env[i])
		}
	}
	return []unit{u}, err
}

// pairs parses the values of a repeated flag. The last of equal keys counts, as for docker run.
func pairs(flag string, values []string) (map[string]string, error) {
	m := make(map[string]string, len(values))
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%s %q is not of the form KEY=VALUE", flag, v)
		}
		m[key] = value
	}
	return m, nil
}

// report reads the declarations of all units.
func (c *Command) report(units []unit) report {
	r := report{Declarations: []declare.Declaration{}, Errors: []problem{}, Warnings: []problem{}}
	r.Notes = append(r.Notes, c.Effects...)
	dialects := make(map[string]*declare.Dialect)
	for _, u := range units {
		u.input.HideValues = true
		if u.driver {
			u.input.Others, u.input.DefaultTarget = slices.Concat(declare.DockerOptions, c.Options), c.targetOf(u)
		}
		list, outputs := cmp.Or(c.Prefix, u.prefix), c.Outputs
		if len(u.plugin.outputs) > 0 {
			outputs = u.plugin.outputs
		}
		if dialects[list] == nil {
			dialects[list] = declare.New(list, outputs...).WithVariables(c.Protected, declare.DefaultTagsFrom)
		}
		set := dialects[list].Read(u.input)
		if u.live {
			u.warnings = append(u.warnings, c.driverWarnings(u, set)...)
		}
		if u.live && u.driver {
			r.Notes = append(r.Notes, driverNotes(u, set, dialects[list])...)
		}
		r.add(u, set, dialects[list])
	}
	slices.SortStableFunc(r.Declarations, func(a, b declare.Declaration) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Container, b.Container))
	})
	return r
}
