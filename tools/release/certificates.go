// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// certificates writes the authorities that images and plugin trust: Mozilla's, as a module of the Go project brings them. Those
// that Mozilla trusts under conditions only, which a PEM file can't express, are left out.
func (r *release) certificates() error {
	var text bytes.Buffer
	text.WriteString("# Mozilla's certificate authorities (https://wiki.mozilla.org/CA), under the MPL 2.0.\n")
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(r.shared(), "ca-certificates.crt"), text.Bytes(), 0o644)
}
