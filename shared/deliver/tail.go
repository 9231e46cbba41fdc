// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/telemetry"
)

// TailCommand is the subcommand that prints records as the running process delivers them.
type TailCommand struct {
	Container string `arg:"" help:"The container, as status names it, or its own name; - for any."`
	Log       string `arg:"" optional:"" help:"The log, as it is declared; any by default."`
	To        string `placeholder:"OUTPUT" help:"Show what this output takes; by default one of those that a log goes to."`

	Sockets []string `kong:"-"` // as in Options
}

// Run is called by kong.
func (c *TailCommand) Run(k *kong.Context) error {
	var at config.Status
	if err := command.Load(config.Environ(), &at); err != nil {
		return err
	}
	ctx, stop := command.Signals()
	defer stop()
	return c.follow(ctx, k.Stdout, k.Stderr, addresses(at, c.Sockets))
}

// follow prints records until ctx or the running process ends.
func (c *TailCommand) follow(ctx context.Context, w, notes io.Writer, at []telemetry.Address) error {
	if err := c.check(ctx, at); err != nil {
		return err
	}
	query := url.Values{"log": {c.Log}, "output": {c.To}}
	if c.Container != "-" {
		query.Set("container", c.Container)
	}
	body, err := telemetry.Open(ctx, "/api/tail?"+query.Encode(), at...)
	if err != nil {
		return err
	}
	defer body.Close()
	err = printEvents(body, w, notes)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("the running Remora ended")
	}
	return err
}

// check returns an error if no such log is collected, for which nothing would ever be printed.
func (c *TailCommand) check(ctx context.Context, at []telemetry.Address) error {
	s, err := telemetry.Ask(ctx, at...)
	if err != nil {
		return err
	}
	all := c.Container == "-"
	known := func(container, writer, log, output string) bool {
		return (all || container == c.Container || writer == c.Container) && (c.Log == "" || log == c.Log) && (c.To == "" || output == c.To)
	}
	if slices.ContainsFunc(s.Rows, func(r telemetry.Row) bool { return known(r.Container, r.Container, r.Declaration, r.Output) }) ||
		slices.ContainsFunc(s.Logs, func(l telemetry.Log) bool { return known(l.Container, l.Writer, l.Declaration, l.Output) }) {
		return nil
	}
	return errors.New("no such log is collected now; the command status lists containers, logs and outputs")
}

// maxEvent bounds a line of the stream: a record of 32 KiB, each byte escaped.
const maxEvent = 1 << 20

// printEvents prints the records of a stream of events to w, one JSON object per line, and what was left out to notes.
func printEvents(events io.Reader, w, notes io.Writer) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, maxEvent)
	missed := false
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			missed = name == "missed"
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var err error
		if missed {
			missed = false
			_, err = fmt.Fprintf(notes, "%s records were not shown: there were too many\n", escape.Text(data))
		} else {
			var e struct{ Record json.RawMessage }
			if err = json.Unmarshal([]byte(data), &e); err == nil {
				_, err = fmt.Fprintf(w, "%s\n", escape.JSON(e.Record))
			}
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
