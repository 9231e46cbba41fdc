// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// Each link within the repository leads to a file, and to a heading where it names one.
func TestLinksLeadSomewhere(t *testing.T) {
	root := engine.Root(t)
	links := 0
	for _, path := range pages(t) {
		p := read(t, path)
		for _, target := range p.links {
			links++
			if err := follow(t, root, p, target); err != "" {
				t.Errorf("%s: the link %s: %s", path, target, err)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found; has this test lost sight of some?", links)
	}
}

// follow says what is wrong with a link of p; nothing where it is right.
func follow(t *testing.T, root string, p *page, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		return err.Error()
	}
	if u.IsAbs() {
		if u.Scheme != "https" || !strings.Contains(u.Host, ".") {
			return "it is no https URL"
		}
		return ""
	}
	to := p
	if u.Path != "" {
		path := filepath.Join(filepath.Dir(p.path), u.Path)
		if strings.HasPrefix(path, "..") {
			return "it leads out of the repository"
		}
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			return "there is no such file"
		}
		if u.Fragment == "" {
			return ""
		}
		to = read(t, path)
	}
	if !slices.Contains(to.anchors(), u.Fragment) {
		return "the page has no such heading; it has " + strings.Join(to.anchors(), ", ")
	}
	return ""
}

// Every page below docs/ can be reached from the index, and the index from the README.
func TestIndexNamesEveryPage(t *testing.T) {
	linked := map[string]bool{}
	for _, index := range []string{"README.md", "README.zh-CN.md", "docs/README.md", "docs/outputs/README.md"} {
		for _, target := range read(t, index).links {
			path, _, _ := strings.Cut(target, "#")
			linked[filepath.Join(filepath.Dir(index), path)] = true
		}
	}
	for _, path := range pages(t) {
		if strings.HasPrefix(path, "docs/") && !linked[path] {
			t.Errorf("no index links to %s", path)
		}
	}
}

func TestAnchors(t *testing.T) {
	for text, want := range map[string]string{
		"Where things are":      "where-things-are",
		"`docker logs`, cached": "docker-logs-cached",
		"docker_app":            "docker_app",
		"安装":                    "安装",
		"What is [this](x.md)?": "what-is-this",
	} {
		if got := anchor(text); got != want {
			t.Errorf("anchor of %q is %q, want %q", text, got, want)
		}
	}
}
