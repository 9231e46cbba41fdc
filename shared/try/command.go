// SPDX-License-Identifier: Apache-2.0

package try

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/declare"
)

// Command is the command line. The error of Run has an exit code: 1 if the declaration is refused, 2 if the command line is
// wrong or the sample can't be read.
type Command struct {
	Format string            `placeholder:"NAME" help:"The format of the lines: none, json, nginx, … (default: none)."`
	Set    map[string]string `placeholder:"KEY=VALUE" mapsep:"none" help:"A key of the declaration: --set format.time_key=ts, --set multiline.preset=java, --set drop=health. Can be repeated."`
	File   string            `arg:"" optional:"" placeholder:"FILE" help:"The sample; standard input by default."`
}

// Help is shown below the command's flags.
func (c *Command) Help() string {
	return `Example:
  try --format nginx --set drop=health < access.log

Prints the records that would be delivered, one JSON object a line, and at the end, on standard error, how many lines did not
match the format, and why. Exit status: 0; 1 the declaration is refused; 2 the command line is wrong.`
}

// status is an error with an exit code.
type status struct {
	error
	code int
}

func (s status) ExitCode() int { return s.code }
func (s status) Unwrap() error { return s.error }

// Run is called by kong.
func (c *Command) Run(k *kong.Context) error {
	in := io.Reader(os.Stdin)
	path := "sample.log"
	if c.File != "" && c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return status{err, 2}
		}
		defer f.Close()
		in, path = f, c.File
	}
	return c.Try(path, in, k.Stdout, k.Stderr)
}

// Try sends in through the declaration, and writes records to out and the summary to summary.
func (c *Command) Try(path string, in io.Reader, out, summary io.Writer) error {
	d, warnings, err := c.declaration()
	for _, w := range warnings {
		fmt.Fprintf(summary, "warning: %s\n", w) // if that fails, so does the summary
	}
	if err != nil {
		return status{err, 1}
	}
	sum, err := Run(d, path, in, out)
	if err != nil {
		return status{err, 2}
	}
	if _, err := io.WriteString(summary, sum.String()); err != nil {
		return status{err, 2}
	}
	return nil
}

// declaration returns what the flags declare. Its errors name the keys as they are written in labels, below a log's name.
func (c *Command) declaration() (d declare.Declaration, warnings []string, err error) {
	const prefix = declare.DefaultPrefix + ".logs.sample"
	labels := map[string]string{prefix: "/sample.log"}
	if c.Format != "" {
		labels[prefix+".format"] = c.Format
	}
	for key, value := range c.Set {
		labels[prefix+"."+key] = value
	}
	set := declare.New("").Read(declare.Input{Labels: labels})
	var problems []error
	for _, p := range set.Errors {
		problems = append(problems, fmt.Errorf("%s: %s", strings.TrimPrefix(p.Key, prefix+"."), p.Message))
	}
	for _, p := range set.Warnings {
		warnings = append(warnings, fmt.Sprintf("%q: %s", strings.TrimPrefix(p.Key, prefix+"."), p.Message))
	}
	if len(problems) > 0 || len(set.Declarations) != 1 {
		return d, warnings, errors.Join(append(problems, errors.New("the declaration is refused"))...)
	}
	return set.Declarations[0], warnings, nil
}
