// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/remora-logs/remora/shared/checkup"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/tail/find"
)

func checkCommand() deliver.CheckCommand {
	s := new(config.Sidecar)
	return deliver.CheckCommand{
		Settings: settingsTable, Parts: []any{s, new(origin.Pod)},
		Disk: func() (string, int64) { return s.StateDir, 64 << 20 },
		More: func(_ context.Context, environ map[string]string) (items []checkup.Item) {
			for _, file := range []struct{ setting, path string }{
				{"REMORA_CONFIG", s.ConfigFile}, {"REMORA_ANNOTATIONS", s.Annotations}, {"REMORA_LABELS", s.Labels},
			} {
				if file.path != "" {
					items = append(items, checkup.Readable(file.setting, file.path))
				}
			}
			set := deliver.ReadDeclarations(environ, declare.Sources{Env: os.Environ(), ConfigFile: s.ConfigFile, AnnotationsFile: s.Annotations})
			items = append(items, deliver.DeclarationItems("declarations", len(set.Declarations), set.Errors, set.Warnings)...)
			for i := range set.Declarations {
				items = append(items, pathItems(&set.Declarations[i])...)
			}
			return items
		},
	}
}

// pathItems checks that the patterns of a declaration compile and that their base directories can be read.
func pathItems(d *declare.Declaration) (items []checkup.Item) {
	for _, pattern := range d.Paths() {
		about := fmt.Sprintf("log %s %s", d.Name, pattern)
		parsed, err := find.Compile(pattern)
		if err != nil {
			items = append(items, checkup.Bad(about, err, "Correct the pattern."))
			continue
		}
		dir := parsed.Base()
		if _, err := os.ReadDir(dir); err != nil {
			items = append(items, checkup.Odd(about, err.Error(), "Mount the volume in this container, at the same path; the directory may also come later."))
			continue
		}
		items = append(items, checkup.Good(about, dir+" can be read"))
	}
	return items
}
