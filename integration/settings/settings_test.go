// SPDX-License-Identifier: Apache-2.0

// Package settings keeps config.json and docs/settings.md in step with the settings that the code reads.
//
//	go test -C integration ./settings -update
//
// writes both; without -update the test compares.
package settings

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/output/settings"
)

var update = flag.Bool("update", false, "write config.json and the tables of docs/settings.md")

// preset is what the plugin is shipped with where the code has no default that fits a plugin.
var preset = map[string]string{"FILE_PATH": "/var/lib/remora/logs"}

// manifest is config.json, with its members in the order in which it has them; see the engine's documentation,
// "Plugin config version 1".
type manifest struct {
	Description     string          `json:"description"`
	Documentation   string          `json:"documentation"`
	Interface       json.RawMessage `json:"interface"`
	Entrypoint      []string        `json:"entrypoint"`
	Network         json.RawMessage `json:"network"`
	PropagatedMount string          `json:"propagatedMount"`
	Env             []variable      `json:"env,omitempty"`
}

type variable struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Value       string   `json:"value"`
	Settable    []string `json:"settable"`
}

func driverSections() []settings.Section { return deliver.Sections("Driver", new(config.Driver)) }

func sidecarSections() []settings.Section {
	return deliver.Sections("Sidecar", new(config.Sidecar), new(origin.Pod))
}

func nodeSections() []settings.Section {
	return deliver.Sections("Node agent", new(config.Node), new(config.Loggers))
}

// Docker refuses to set a variable that the manifest does not name.
func TestManifestNamesEverySetting(t *testing.T) {
	path := filepath.Join(engine.Root(t), "config.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m.Env = nil
	want, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(bytes.TrimSuffix(want, []byte("\n}")), ",\n  \"env\": [\n"...)
	for i, v := range variables() { // one a line, to be read and compared
		if i > 0 {
			want = append(want, ",\n"...)
		}
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		want = append(append(want, "    "...), line...)
	}
	want = append(want, "\n  ]\n}\n"...)
	same(t, path, content, want)
}

func variables() []variable {
	var all []variable
	add := func(name, doc string) {
		all = append(all, variable{Name: name, Description: doc, Value: preset[name], Settable: []string{"value"}})
	}
	for _, section := range driverSections() {
		for _, s := range section.Settings {
			doc := s.Doc
			if s.Default != "" {
				doc += " (default " + s.Default + ")"
			}
			add(s.Name, doc)
			if s.Secret {
				add(s.Name+"_FILE", "file with the value of "+s.Name)
			}
		}
	}
	// Go's HTTP client, which the outputs use, reads these by itself.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		add(name, "proxy for the outputs that speak HTTP, in the usual form")
	}
	return all
}

func TestPageListsEverySetting(t *testing.T) {
	const begin, end = "<!-- settings:", "<!-- end of settings -->"
	path := filepath.Join(engine.Root(t), "docs", "settings.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(content), begin)
	marker, rest, closes := strings.Cut(rest, "\n")
	_, after, ends := strings.Cut(rest, end)
	if !begins || !closes || !ends {
		t.Fatalf("%s has lost the comments around its tables of settings", path)
	}
	same(t, path, content, []byte(before+begin+marker+"\n"+tables()+end+after))
}

// tables is one table for each section: settings of all ways in first, then those of each, then those of each output.
func tables() string {
	driver, sidecar, node := driverSections(), sidecarSections(), nodeSections()
	sections := slices.Concat(sidecar[1:2], driver[:1], sidecar[:1], node[:1], driver[2:])
	var out strings.Builder
	for _, section := range sections {
		fmt.Fprintf(&out, "\n## %s\n\n| variable | default | meaning |\n|---|---|---|\n", heading(section.Title))
		for _, s := range section.Settings {
			doc, value := s.Doc, ""
			if s.Secret {
				doc += "; or its file in `" + s.Name + "_FILE`"
			}
			if s.Default != "" {
				value = "`" + s.Default + "`"
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", s.Name, value, strings.ReplaceAll(doc, "|", `\|`))
		}
	}
	out.WriteString("\n")
	return out.String()
}

// heading is a section's title on the page.
func heading(title string) string {
	if title == "Both" {
		return "All ways in"
	}
	return title
}

// same compares a file with what it should hold, or writes it.
func same(t *testing.T, path string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s does not list what the code reads; go test -C integration ./settings -update writes it. First difference:\n%s",
		path, difference(string(got), string(want)))
}

func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d has  %s\nit should be %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("it has %d lines, not %d", len(a), len(b))
}
