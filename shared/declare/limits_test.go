// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What one declaration may ask for is bounded, and the key that is one too many is named.
func TestFiltersOfADeclarationAreBounded(t *testing.T) {
	const name = "aliyun_logs_a"
	read := func(env ...string) Set { return New("").Read(Input{Env: append(env, name+"=/l/*.log")}) }
	numbered := func(word, value string, n int) (env []string) {
		for i := range n {
			env = append(env, fmt.Sprintf("%s_%s_%d=%s", name, word, i, value))
		}
		return env
	}
	list := func(n int, each string) string { return strings.TrimSuffix(strings.Repeat(each+",", n), ",") }

	require.Len(t, read(numbered("drop", "x", 64)...).Declarations, 1)
	require.Len(t, read(name+"_rename="+list(256, "a=b")).Declarations, 1)
	for key, env := range map[string][]string{
		name + "_drop_64":       numbered("drop", "x", 65),
		name + "_mask":          append(numbered("drop", "x", 60), name+"_mask="+list(5, "email")),
		name + "_drop_62":       append(numbered("drop", "x", 63), name+"_multiline_start=^a", name+"_format=regexp", name+"_format_pattern=(?<a>x)"),
		name + "_rename":        {name + "_add=" + list(200, "a=b"), name + "_rename=" + list(57, "a=b")},
		name + "_remove":        {name + "_remove=" + list(257, "a")},
		name + "_mask_1":        {name + "_mask_1=" + strings.Repeat("x", 8<<10+1) + " => y"},
		name + "_keep_7":        {name + "_keep_7=field~" + strings.Repeat("x", 8<<10+1)},
		name + "_multiline_end": {name + "_multiline_end=" + strings.Repeat("x", 8<<10+1)},
	} {
		set := read(env...)
		require.Empty(t, set.Declarations, key)
		require.Len(t, set.Errors, 1, "%s: %v", key, set.Errors)
		require.Equal(t, key, set.Errors[0].Key)
		require.Regexp(t, `at most \d+`, set.Errors[0].Message)
		require.Less(t, len(set.Errors[0].Message), 400)
	}
}
