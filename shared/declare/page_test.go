// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page documents the declarations for users.
const page = "../../docs/declarations.md"

// The page lists the whole vocabulary, and its examples are valid.
func TestPage(t *testing.T) {
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	text := string(data)
	var words []string
	for _, list := range [][]string{fixed, recent, foreign, formatNames, MaskPresets, MultilinePresets} {
		words = append(words, list...)
	}
	for _, name := range encodings {
		words = append(words, name)
	}
	for _, word := range words {
		assert.Contains(t, text, "`"+word+"`")
	}
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(text, -1) {
		for key := range strings.SplitSeq(m[1], ", ") {
			assert.Contains(t, slices.Concat(fixed, recent), strings.Trim(key, "`"))
		}
	}

	blocks := regexp.MustCompile("(?s)```\\w*\n(.*?)```").FindAllStringSubmatch(text, -1)
	require.Len(t, blocks, 2)
	labels := make(map[string]string)
	for line := range strings.Lines(blocks[0][1]) {
		key, value, ok := strings.Cut(line, " = ")
		require.True(t, ok, line)
		labels[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	for _, in := range []Input{{Labels: labels}, {File: ReadFile(page, []byte(blocks[1][1]))}} {
		set := New("").Read(in)
		assert.Equal(t, []string{"access", "app", "console"}, names(set))
		assert.Empty(t, set.Errors)
		assert.Empty(t, set.Warnings)
	}
}
