// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the format
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the format

	"github.com/remora-logs/remora/tools/release/licences"
)

// packages writes what packaging/*.yaml describe, as deb and rpm, for each architecture.
func (r *release) packages() error {
	for _, arch := range licences.Platforms {
		for _, name := range []string{"node", "sidecar"} {
			for _, format := range []string{"deb", "rpm"} {
				if err := r.pack(arch, name, format); err != nil {
					return fmt.Errorf("package %s, %s for %s: %w", name, format, arch, err)
				}
			}
		}
	}
	return nil
}

func (r *release) pack(arch, name, format string) error {
	values := map[string]string{"ARCH": arch, "VERSION": r.version, "BIN": r.bin(arch, ""), "SHARED": r.shared()}
	description := filepath.Join(r.source(arch), "packaging", name+".yaml")
	config, err := nfpm.ParseFileWithEnvMapping(description, func(name string) string { return values[name] })
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	info.MTime = r.epoch
	r.rebase(arch, info)
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	info.Target = r.file(packager.ConventionalFileName(info))
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return err
	}
	return os.WriteFile(info.Target, b.Bytes(), 0o644)
}

// rebase makes the paths of a description those of the exported commit, to which they are relative.
func (r *release) rebase(arch string, info *nfpm.Info) {
	within := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(r.source(arch), path)
	}
	for _, c := range info.Contents {
		c.Source = within(c.Source)
	}
	for _, script := range []*string{&info.Scripts.PreInstall, &info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = within(*script)
	}
}
