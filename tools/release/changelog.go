// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/remora-logs/remora/tools/release/licences"
)

// changelog writes the version's section of CHANGELOG.md.
func (r *release) changelog() error {
	text, err := os.ReadFile(filepath.Join(r.source(licences.Platforms[0]), "CHANGELOG.md"))
	if err != nil {
		return err
	}
	section, err := sectionOf(string(text), r.version)
	if err != nil {
		return err
	}
	return os.WriteFile(r.file("CHANGELOG.md"), []byte(section), 0o644)
}

// sectionOf finds what a changelog says of a version. A pre-release without a section of its own has what is unreleased.
func sectionOf(changelog, version string) (string, error) {
	names := []string{version}
	if strings.Contains(version, "-") {
		names = append(names, "Unreleased")
	}
	for _, name := range names {
		var section strings.Builder
		for line := range strings.Lines(changelog) {
			switch begins := strings.HasPrefix(line, "## "); {
			case strings.HasPrefix(line, "## ["+name+"]"):
				section.WriteString(line)
			case begins && section.Len() > 0:
				return strings.TrimSpace(section.String()) + "\n", nil
			case section.Len() > 0:
				section.WriteString(line)
			}
		}
		if section.Len() > 0 {
			return strings.TrimSpace(section.String()) + "\n", nil
		}
	}
	return "", fmt.Errorf("CHANGELOG.md has no section ## [%s]: rename [Unreleased], and commit that", version)
}

// checksums writes SHA256SUMS, as sha256sum --check reads it.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.building()) // sorted
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		text, err := os.ReadFile(r.file(e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(text), e.Name())
	}
	return os.WriteFile(r.file("SHA256SUMS"), []byte(sums.String()), 0o644)
}
