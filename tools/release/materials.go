// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// materials writes the bill of materials: every module that is linked, and Go's standard library.
func (r *release) materials() error {
	root := cdx.Component{
		BOMRef: "remora", Type: cdx.ComponentTypeApplication, Name: "remora", Version: "v" + r.version,
		PackageURL: "pkg:golang/github.com/remora-logs/remora@v" + r.version,
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Properties: &[]cdx.Property{{Name: "git:commit", Value: r.revision}},
	}
	var components []cdx.Component
	var refs []string
	for _, m := range r.modules {
		url := "pkg:golang/" + m.Path + "@" + m.Version
		c := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: url, Scope: cdx.ScopeRequired}
		var all cdx.Licenses
		for _, id := range m.Licences {
			all = append(all, cdx.LicenseChoice{License: &cdx.License{ID: id}})
		}
		c.Licenses = &all
		if m.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
		}
		components, refs = append(components, c), append(refs, url)
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(r.version, fmt.Sprint(r.modules), r.epoch)
	bom.Metadata = &cdx.Metadata{Timestamp: r.epoch.Format(time.RFC3339), Component: &root}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &refs}}
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	return os.WriteFile(r.file("remora-"+r.version+".cdx.json"), b.Bytes(), 0o644)
}

// serial is a UUID of version 8 (RFC 9562) that the content determines.
func serial(version, modules string, when time.Time) string {
	b := sha256.Sum256(fmt.Appendf(nil, "remora %s %d %s", version, when.Unix(), modules))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
