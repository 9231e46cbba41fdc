// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/history"
	"github.com/remora-logs/remora/shared/loggers"
)

// logsCommand shows the captured output of a container of containerd.
type logsCommand struct {
	Container  string `arg:"" help:"The container's name, ID, NAMESPACE/ID, or the beginning of its ID."`
	Follow     bool   `short:"f" help:"Wait for further lines until the container ends."`
	Since      string `placeholder:"TIME" help:"Show lines from that time on: 2026-01-02T15:04:05Z, or 10m for the last ten minutes."`
	Until      string `placeholder:"TIME" help:"Show lines up to that time."`
	Tail       int    `short:"n" default:"-1" placeholder:"N" help:"Show the last N lines; all by default."`
	Timestamps bool   `short:"t" help:"Show the time of each line."`
}

// Run is called by kong.
func (c *logsCommand) Run(k *kong.Context) error {
	query := history.Query{Tail: c.Tail, Follow: c.Follow}
	var err error
	if query.Since, err = parseTime("since", c.Since, time.Now()); err != nil {
		return command.WithCode(err, command.ExitUsage)
	}
	if query.Until, err = parseTime("until", c.Until, time.Now()); err != nil {
		return command.WithCode(err, command.ExitUsage)
	}
	var s processSettings
	if err := command.Load(config.Environ(), &s.Common, &s.Loggers); err != nil {
		return err
	}
	h, err := loggers.FindHistory(s.Dir, c.Container)
	if err != nil {
		return err
	}
	ctx, stop := command.Signals()
	defer stop()
	return h.Show(ctx, query, loggers.Output{Stdout: k.Stdout, Stderr: k.Stderr, Timestamps: c.Timestamps, MaxRecord: s.MaxRecordBytes})
}

// parseTime parses a time, or a duration before now. It returns the zero time for an empty text.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("--%s is %q, neither a time such as 2026-01-02T15:04:05Z nor a duration such as 10m", flag, text)
	}
	return t, nil
}
