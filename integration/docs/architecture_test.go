// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// ARCHITECTURE.md names every room that there is, and none that there is not; every library too.
func TestArchitectureIsTrue(t *testing.T) {
	p := read(t, "ARCHITECTURE.md")
	if n := strings.Count(p.text, "\n"); n > 140 {
		t.Errorf("it has %d lines of text; it is to fit two screens", n)
	}
	rows := regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(p.text, -1)
	var named []string
	for _, row := range rows {
		for _, code := range inlineCode.FindAllString(row[1], -1) {
			named = append(named, strings.Trim(code, "`/"))
		}
	}
	root := engine.Root(t)
	for _, name := range named {
		if top, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"shared", "driver", "sidecar", "node", "containerd"}, top) && name != "containerd/fifo" {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("it names a room that there is not: %s", name)
			}
		}
	}
	for _, room := range directories(t, filepath.Join(root, "shared")) {
		if !slices.Contains(named, "shared/"+room) {
			t.Errorf("it does not name shared/%s", room)
		}
	}
	for _, library := range libraries(t, root) {
		if !slices.ContainsFunc(named, func(name string) bool {
			return strings.HasSuffix(library, regexp.MustCompile(`/v\d+$`).ReplaceAllString(name, ""))
		}) {
			t.Errorf("it does not name the library %s", library)
		}
	}
}

func directories(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// libraries lists what go.mod requires directly, parts of one repository once.
func libraries(t *testing.T, root string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(content), -1) { // indirect ones say so behind
		name, _, _ := strings.Cut(m[1], "/pkg/")
		all = append(all, regexp.MustCompile(`/v\d+$`).ReplaceAllString(name, ""))
	}
	if len(all) < 10 {
		t.Fatalf("only %d libraries were found in go.mod", len(all))
	}
	return all
}
