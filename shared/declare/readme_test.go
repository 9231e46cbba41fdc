package declare

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The README tells the whole vocabulary, and its examples are right.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("README.md")
	require.NoError(t, err)
	readme := string(data)
	var words []string
	for _, list := range [][]string{fixed, formatNames, MaskPresets, MultilinePresets} {
		words = append(words, list...)
	}
	for _, name := range encodings {
		words = append(words, name)
	}
	for _, word := range words {
		assert.Contains(t, readme, "`"+word+"`")
	}
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(readme, -1) {
		for key := range strings.SplitSeq(m[1], ", ") {
			assert.Contains(t, fixed, strings.Trim(key, "`"))
		}
	}

	blocks := regexp.MustCompile("(?s)```\\w*\n(.*?)```").FindAllStringSubmatch(readme, -1)
	require.Len(t, blocks, 2)
	labels := make(map[string]string)
	for line := range strings.Lines(blocks[0][1]) {
		key, value, ok := strings.Cut(line, " = ")
		require.True(t, ok, line)
		labels[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	for _, in := range []Input{{Labels: labels}, {File: ReadFile("README.md", []byte(blocks[1][1]))}} {
		set := New("").Read(in)
		assert.Equal(t, []string{"access", "app", "console"}, names(set))
		assert.Empty(t, set.Errors)
		assert.Empty(t, set.Warnings)
	}
}
