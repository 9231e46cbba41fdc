// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/checkup"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
)

// listTime bounds how long a runtime may take to list its containers in the check command.
const listTime = 10 * time.Second

func checkCommand() deliver.CheckCommand {
	s, l := new(config.Node), new(config.Loggers)
	return deliver.CheckCommand{
		Settings: settingsTable, Parts: []any{s, l},
		Disk: func() (string, int64) { return s.StateDir, 128 << 20 },
		More: func(ctx context.Context, environ map[string]string) (items []checkup.Item) {
			if s.ConfigFile != "" {
				items = append(items, checkup.Readable("REMORA_CONFIG", s.ConfigFile))
				rules, wrong := deliver.ReadRules(environ, s.ConfigFile)
				items = append(items, deliver.DeclarationItems("rules", rules, wrong, nil)...)
			}
			h, err := findHost(s.HostRoot)
			if err != nil {
				return append(items, checkup.Bad("REMORA_HOST_ROOT "+s.HostRoot, err, "Mount the host's root at /host."))
			}
			all, err := newSources(*s, h, environ, slog.New(slog.DiscardHandler))
			if err != nil {
				return append(items, checkup.Bad("REMORA_RUNTIME", err, "Correct REMORA_RUNTIME, or leave it at auto."))
			}
			return append(items, all.check(ctx)...)
		},
	}
}

// check asks every source for its containers. At least one must answer, and so must each that REMORA_RUNTIME names.
func (f *sources) check(ctx context.Context) (items []checkup.Item) {
	answered := false
	for i := range f.all {
		s := &f.all[i]
		about := "containers of " + s.name
		at, ok := f.find(s)
		if !ok {
			if s.asked {
				items = append(items, checkup.Bad(about, errors.New("nothing is there; tried "+strings.Join(s.at, ", ")), "Mount the runtime's socket, or the host's root at /host."))
			}
			continue
		}
		if at != "" {
			about += " at " + at
		}
		n, err := f.list(ctx, s, at)
		if err == nil {
			answered = true
			items = append(items, checkup.Good(about, fmt.Sprintf("%d containers", n)))
			continue
		}
		bad := checkup.Bad(about, err, "Start the runtime, or let the process use its socket (root, or its group).")
		if !s.asked {
			bad.Result = checkup.Warning
		}
		items = append(items, bad)
	}
	if !answered {
		items = append(items, checkup.Bad("containers", errors.New("no runtime and no log directory was found; tried "+f.tried()),
			"Mount the runtime's socket, or the host's root at /host."))
	}
	return items
}

func (f *sources) list(ctx context.Context, s *source, at string) (int, error) {
	ctx, stop := context.WithTimeout(ctx, listTime)
	defer stop()
	inv, err := s.open(at)
	if err != nil {
		return 0, err
	}
	all, err := inv.List(ctx)
	return len(all), err
}
