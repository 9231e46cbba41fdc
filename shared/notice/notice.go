// SPDX-License-Identifier: Apache-2.0

// Package notice is the table of all messages to Remora's operator: a stable code, what happened, why, and what to do.
// docs/messages.md is generated from it.
package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// Message is an entry of the table.
type Message struct {
	Code  string // REM and four digits
	Level slog.Level
	What  string // what happened; the attributes say where
	Cause string // one sentence or two
	Do    string // one sentence or two
}

var table []*Message

func define(code int, level slog.Level, what, cause, do string) *Message {
	m := &Message{fmt.Sprintf("REM%04d", code), level, what, cause, do}
	table = append(table, m)
	return m
}

// All returns the messages in the order of their codes.
func All() []*Message {
	all := slices.Clone(table)
	slices.SortFunc(all, func(a, b *Message) int {
		if a.Code < b.Code {
			return -1
		}
		return 1
	})
	return all
}

// LogAt is Log at another level, for a caller to which the message is more or less serious.
func (m *Message) LogAt(level slog.Level, log *slog.Logger, args ...any) {
	log.Log(context.Background(), level, m.What, append([]any{"code", m.Code}, args...)...)
}

// Log logs the message with its code and the attributes args, which are those of slog.Logger.Warn.
func (m *Message) Log(log *slog.Logger, args ...any) {
	m.LogAt(m.Level, log, args...)
}

// Error returns err with the message's code, which CodeOf finds. A nil error stays nil.
func (m *Message) Error(err error) error {
	if err == nil {
		return nil
	}
	return coded{err, m.Code}
}

type coded struct {
	error
	code string
}

func (c coded) Unwrap() error { return c.error }

// CodeOf returns the code of the outermost error in err's tree that has one, or "".
func CodeOf(err error) string {
	var c coded
	if errors.As(err, &c) {
		return c.code
	}
	return ""
}
