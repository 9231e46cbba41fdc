// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// declaredPaths are the paths of the dialect that the declarations of a case show to be understood.
func declaredPaths(want []Declaration, seen map[string]bool) {
	for _, d := range want {
		seen["format="+d.Format] = true
		for option := range d.FormatOptions {
			seen["format."+option], seen["format="+d.Format+" "+option] = true, true
		}
		for option := range d.Multiline {
			seen["multiline."+option] = true
		}
		for key := range d.Filters {
			word, id, below := strings.Cut(key, ".")
			if seen[word] = true; below && id != "" {
				seen[word+".ID"] = true
			}
		}
		for key, value := range d.Files {
			seen[key], seen[key+"="+value] = true, true
		}
		seen["format"] = seen["format"] || d.Format != "none"
		seen["target"] = seen["target"] || d.Target != d.Name
		seen["tags"] = seen["tags"] || len(d.Tags) > 0
		seen["output"] = seen["output"] || len(d.Outputs) > 0
		seen["container"] = seen["container"] || d.Container != ""
		seen["streams"] = seen["streams"] || d.Streams != ""
	}
}

// A word of the dialect that no case declares may stop working, or never have worked, without a test noticing.
func TestEveryWordHasACase(t *testing.T) {
	seen := map[string]bool{}
	written := map[string]bool{} // paths of the keys of all cases, as they are spelled with dots
	for _, path := range []string{"testdata/declarations.json", "testdata/more.json", "testdata/formats.json"} {
		for _, c := range load(t, path) {
			declaredPaths(c.Want, seen)
			keys := slices.Collect(maps.Keys(c.Labels))
			for _, variable := range c.Env {
				key, _, _ := strings.Cut(variable, "=")
				keys = append(keys, key)
			}
			for _, key := range keys {
				written[strings.ReplaceAll(key, "_", ".")] = true
			}
		}
	}
	for _, path := range fixed {
		assert.True(t, seen[path], "no case of testdata declares %s", path)
	}
	for _, word := range open {
		assert.True(t, word == "tags" || seen[word+".ID"], "no case of testdata declares %s.ID", word)
	}
	for _, format := range formatNames {
		assert.True(t, seen["format="+format], "no case of testdata declares format=%s", format)
		for _, option := range formatOptions[format] {
			assert.True(t, seen["format="+format+" "+option], "no case of testdata declares format.%s of format=%s", option, format)
		}
	}
	for _, encoding := range encodings {
		assert.True(t, seen["encoding="+encoding], "no case of testdata declares encoding=%s", encoding)
	}
	for _, word := range slices.Concat(recent, foreign) {
		suffix := "." + strings.ReplaceAll(word, "_", ".")
		assert.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(written)), func(key string) bool {
			return strings.HasSuffix(key, suffix)
		}), "no case of testdata writes %s", word)
	}
}
