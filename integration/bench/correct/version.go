// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"os/exec"
	"strings"
)

// unknownVersion is the version of a binary that does not report one.
const unknownVersion = "unknown"

// saidVersion returns the first line of a command's output about its version.
func saidVersion(bin, flag string) string {
	out, _ := exec.Command(bin, flag).CombinedOutput() // rsyslogd's exit status is 1
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return line[:min(len(line), 80)]
		}
	}
	return unknownVersion
}

// moduleVersion returns the version of the Go module from which a binary was built.
func moduleVersion(bin, module string) string {
	info, err := buildinfo.ReadFile(bin)
	if err != nil {
		return unknownVersion
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return m.Version
		}
	}
	return unknownVersion
}
