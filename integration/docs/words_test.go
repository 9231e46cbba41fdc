// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// own are words that only this project would use, or that stand for one of the field; see "Words" in CONTRIBUTING.md.
var own = regexp.MustCompile(`(?i)\b(kin|limbo|heirs?|bequeath\w*|restful|nudge\w*|episodes?|relieve\w*|mostly|save (that|what)|goes on|what is there|in the midst)\b`)

// The pages use the words of the field.
func TestPagesUseTheWordsOfTheField(t *testing.T) {
	for _, path := range pages(t) {
		p := read(t, path)
		for line := range strings.Lines(inlineCode.ReplaceAllString(p.text, "")) {
			if word := own.FindString(line); word != "" {
				t.Errorf("%s: %q in: %s", path, word, line)
			}
		}
	}
}

// ownInSource are those words that no source needs for anything else, in comments, names and messages. What is stored keeps
// its name.
var ownInSource = regexp.MustCompile(`(?i)\b(kin|limbo|heirs?|bequeath\w*|restful|nudge\w*|episodes?|relieve\w*|fade[sd]?|fading|mostly|save (that|what|for)|goes on|in the midst|stands? (behind|before)|as (it|they) stands?)\b`)

// The sources use the words of the field, too.
func TestSourcesUseTheWordsOfTheField(t *testing.T) {
	root, seen := engine.Root(t), 0
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (strings.HasPrefix(e.Name(), ".") && path != root || e.Name() == "bin" || e.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || e.Name() == "words_test.go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			if word := ownInSource.FindString(line); word != "" {
				t.Errorf("%s:%d: %q; see \"Words\" in CONTRIBUTING.md", strings.TrimPrefix(path, root+"/"), number, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 300 {
		t.Errorf("%d sources; has this test lost sight of them?", seen)
	}
}

// The places that SECURITY.md and CONTRIBUTING.md name are there.
func TestPlacesExist(t *testing.T) {
	place := regexp.MustCompile("^`((?:shared|integration|driver|sidecar|node|containerd|deploy|docs|hack|tools)/[a-z/_.-]*[a-z])/?`$")
	for _, path := range []string{"SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "BENCHMARKS.md"} {
		found := 0
		for _, code := range inlineCode.FindAllString(read(t, path).text, -1) {
			m := place.FindStringSubmatch(code)
			if m == nil || m[1] == "containerd/fifo" {
				continue
			}
			found++
			if !exists(t, m[1]) {
				t.Errorf("%s names %s, which is not there", path, m[1])
			}
		}
		if found == 0 {
			t.Errorf("%s names no place; has this test lost sight of them?", path)
		}
	}
}

// Each promise of SECURITY.md names tests, and they are there.
func TestPromisesAreTested(t *testing.T) {
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)`")
	promises := 0
	for line := range strings.Lines(read(t, "SECURITY.md").text) {
		tests := named.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && !strings.HasSuffix(line, "| tests |\n") {
			promises++
			if len(tests) == 0 {
				t.Errorf("a promise without a test: %s", line)
			}
		}
		for _, m := range tests {
			if !declares(t, m[1], m[2]) {
				t.Errorf("%s has no test %s", m[1], m[2])
			}
		}
	}
	if promises < 10 {
		t.Errorf("%d promises; has this test lost sight of them?", promises)
	}
}

// declares reports whether a directory of the repository has a test of that name.
func declares(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(engine.Root(t), dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\nfunc "+test+"(")) {
			return true
		}
	}
	return false
}
