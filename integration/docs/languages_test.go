// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// translated are the pages that exist in both languages: English and Chinese.
var translated = map[string]string{
	"README.md":              "README.zh-CN.md",
	"docs/install.md":        "docs/zh-CN/install.md",
	"docs/declarations.md":   "docs/zh-CN/declarations.md",
	"docs/from-log-pilot.md": "docs/zh-CN/from-log-pilot.md",
	"docs/operations.md":     "docs/zh-CN/operations.md",
}

// Both languages have the same headings, examples, links and settings.
func TestLanguagesSayTheSame(t *testing.T) {
	for english, chinese := range translated {
		t.Run(english, func(t *testing.T) {
			a, b := read(t, english), read(t, chinese)
			same(t, "headings", levels(a), levels(b))
			same(t, "examples", examples(a), examples(b))
			same(t, "links", targets(t, a), targets(t, b))
			same(t, "settings", names(a), names(b))
		})
	}
}

// same reports the first difference.
func same(t *testing.T, what string, english, chinese []string) {
	t.Helper()
	for i := range max(len(english), len(chinese)) {
		a, b := at(english, i), at(chinese, i)
		if a != b {
			t.Errorf("%s differ: number %d is in English %s, in Chinese %s", what, i+1, a, b)
			return
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(missing)"
}

// levels tells headings apart by their level alone: their words are translated.
func levels(p *page) []string {
	var all []string
	for _, h := range p.headings {
		all = append(all, strings.Repeat("#", h.level))
	}
	return all
}

var comment = regexp.MustCompile(`(^|\s)# .*`)

// examples are the code blocks without their comments, which are translated.
func examples(p *page) []string {
	var all []string
	for _, b := range p.blocks {
		var kept []string
		for line := range strings.Lines(b.text) {
			if line = strings.TrimSpace(comment.ReplaceAllString(line, "")); line != "" {
				kept = append(kept, line)
			}
		}
		all = append(all, b.kind+"\n"+strings.Join(kept, "\n"))
	}
	return all
}

// targets are where the page's links lead, the Chinese twin of a page counted as the page itself, without fragments, which
// follow from translated headings. The links with which the two READMEs name each other are left out.
func targets(t *testing.T, p *page) []string {
	t.Helper()
	var all []string
	for _, target := range p.links {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatalf("%s: %v", p.path, err)
		}
		if !u.IsAbs() {
			target = p.path
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(p.path), u.Path)
			}
			for english, chinese := range translated {
				if target == chinese {
					target = english
				}
			}
		}
		if target != "README.md" {
			all = append(all, target)
		}
	}
	slices.Sort(all) // the order of a sentence's parts differs
	return all
}

// names are the settings, keys and values that the page shows as code, each once.
func names(p *page) []string {
	var all []string
	for _, code := range inlineCode.FindAllString(p.text, -1) {
		all = append(all, strings.Join(strings.Fields(code), " ")) // it may be broken over two lines
	}
	slices.Sort(all)
	return slices.Compact(all)
}
