// SPDX-License-Identifier: Apache-2.0

// Package docs checks what the documentation says: its links and anchors, that both languages have the same, the settings
// it names, and its examples, which are run.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/remora-logs/remora/integration/engine"
)

// page is a Markdown file, as far as these tests read it.
type page struct {
	path     string // below the repository's root
	text     string // without code blocks
	headings []heading
	blocks   []block
	links    []string
}

type heading struct {
	level int
	text  string
}

// block is a fenced code block.
type block struct {
	kind, text string
	heading    string // that it is under
	line       int
}

var (
	fence       = regexp.MustCompile("^\\s*```(\\w*)")
	headingLine = regexp.MustCompile(`^(#{1,6}) (.*)$`)
	link        = regexp.MustCompile(`\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^)\s]+)\)`)
	inlineCode  = regexp.MustCompile("`[^`]*`")
)

// read parses the page at path below the repository's root.
func read(t *testing.T, path string) *page {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(engine.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{path: path}
	var text strings.Builder
	var open *block
	for i, line := range strings.Split(string(content), "\n") {
		switch m := fence.FindStringSubmatch(line); {
		case m != nil && open == nil:
			open = &block{kind: m[1], heading: p.under(), line: i + 1}
		case m != nil:
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			if h := headingLine.FindStringSubmatch(line); h != nil {
				p.headings = append(p.headings, heading{len(h[1]), h[2]})
			}
			text.WriteString(line + "\n")
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the code block does not end", path, open.line)
	}
	p.text = text.String()
	for _, m := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(p.text, "``"), -1) {
		p.links = append(p.links, m[1])
	}
	return p
}

func (p *page) under() string {
	if len(p.headings) == 0 {
		return ""
	}
	return p.headings[len(p.headings)-1].text
}

// anchors are the fragments by which GitHub reaches the page's headings.
func (p *page) anchors() []string {
	var all []string
	for _, h := range p.headings {
		name := anchor(h.text)
		for n := 1; slices.Contains(all, name); n++ {
			name = anchor(h.text) + "-" + strconv.Itoa(n)
		}
		all = append(all, name)
	}
	return all
}

func anchor(heading string) string {
	heading = link.ReplaceAllStringFunc(heading, func(s string) string { return s[1:strings.Index(s, "](")] })
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}

// pages lists all Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	walk(t, func(path string) {
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
	})
	return all
}

// walk calls f for each file of the repository, but for what is built and installed.
func walk(t *testing.T, f func(path string)) {
	t.Helper()
	root := engine.Root(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if relative == ".git" || relative == "bin" || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		f(relative)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// exists reports whether there is a file or directory at path below the repository's root.
func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(engine.Root(t), path))
	return err == nil
}
