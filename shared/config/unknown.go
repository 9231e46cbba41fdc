// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/near"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Misspelt is a variable that looks like a setting and is none.
type Misspelt struct {
	Name string
	Near string // the setting that was probably meant; empty if none is near
}

// Unknown returns the variables in environ that look like settings but are not in sections: those that begin with REMORA_
// or LOGGING_, and near misses that begin like an output's settings (KAFKA_…). It skips empty variables and those that
// Kubernetes derives from Services.
func Unknown(environ map[string]string, sections []settings.Section) []Misspelt {
	known, prefixes := map[string]bool{}, map[string]bool{}
	for _, section := range sections {
		for _, s := range section.Settings {
			known[s.Name] = true
			if s.Secret {
				known[s.Name+"_FILE"] = true
			}
			if prefix, _, _ := strings.Cut(s.Name, "_"); strings.HasPrefix(section.Title, "Output ") {
				prefixes[prefix] = true
			}
		}
	}
	for _, name := range others {
		known[name] = true
	}
	names := slices.Sorted(maps.Keys(known))
	var unknown []Misspelt
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		prefix, _, ok := strings.Cut(name, "_")
		if !ok || environ[name] == "" || known[name] || settings.IsServiceLink(name, environ[name]) || isDeclaration(name) {
			continue
		}
		ours := prefix == "REMORA" || prefix == "LOGGING"
		if !ours && !prefixes[prefix] {
			continue
		}
		meant := near.Nearest(name, names)
		if ours || meant != "" {
			unknown = append(unknown, Misspelt{name, meant})
		}
	}
	return unknown
}

// others are variables with other readers: Go's HTTP client, and the node agent for REMORA_IMAGE, which its image sets.
var others = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REMORA_IMAGE"}

// isDeclaration reports whether a variable declares a log rather than sets something.
func isDeclaration(name string) bool { return strings.Contains(name, "_logs_") }
