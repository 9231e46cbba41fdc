// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"io"
	"log/slog"

	"github.com/remora-logs/remora/shared/config"
)

// level is the level of the process's log.
var level slog.LevelVar

// SetLevel sets the level of the process's log. It ignores an invalid level.
func SetLevel(word string) { _ = level.UnmarshalText([]byte(word)) }

// Logger returns the process's logger with the level and format in c. It writes errors to errors and everything else to
// others, because the engine logs a plugin's stderr as errors. In other processes both are stderr.
func Logger(c *config.Common, others, errors io.Writer) *slog.Logger {
	SetLevel(c.LogLevel)
	options := &slog.HandlerOptions{Level: &level}
	handler := func(w io.Writer) slog.Handler {
		if c.LogFormat == "json" {
			return slog.NewJSONHandler(w, options)
		}
		return slog.NewTextHandler(w, options)
	}
	if others == errors {
		return slog.New(handler(errors))
	}
	return slog.New(byLevel{others: handler(others), errors: handler(errors)})
}

// byLevel is a handler that passes errors to one handler and everything else to another.
type byLevel struct{ others, errors slog.Handler }

func (h byLevel) of(level slog.Level) slog.Handler {
	if level >= slog.LevelError {
		return h.errors
	}
	return h.others
}

func (h byLevel) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(level).Enabled(ctx, level)
}

func (h byLevel) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

func (h byLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return byLevel{h.others.WithAttrs(attrs), h.errors.WithAttrs(attrs)}
}

func (h byLevel) WithGroup(name string) slog.Handler {
	return byLevel{h.others.WithGroup(name), h.errors.WithGroup(name)}
}
