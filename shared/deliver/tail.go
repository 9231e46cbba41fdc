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

// follow prints records until ctx ends or the process does.
func (c *TailCommand) follow(ctx context.Context, w, notes io.Writer, at []telemetry.Address) error {
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

// maxEvent bounds a line of the stream: a record of 32 KiB, each byte escaped.
const maxEvent = 1 << 20

// printEvents prints the records of a stream of events, one JSON object on a line, to w, and what was left out to notes.
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
