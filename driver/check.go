// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
)

func checkCommand() deliver.CheckCommand {
	s := new(config.Driver)
	return deliver.CheckCommand{
		Settings: settingsTable, Parts: []any{s},
		Disk: func() (string, int64) { return s.StateDir, s.SpoolMaxBytes },
	}
}
