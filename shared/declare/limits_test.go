// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readLabels(labels map[string]string) Set { return New("").Read(Input{Labels: labels}) }

func TestNumberOfDeclarationsIsBounded(t *testing.T) {
	labels := map[string]string{}
	for i := range 300 {
		labels[fmt.Sprintf("aliyun.logs.l%03d", i)] = "stdout"
	}
	set := readLabels(labels)
	require.Len(t, set.Declarations, 256)
	require.Equal(t, "l000", set.Declarations[0].Name)
	require.Len(t, set.Errors, 300-256)
	require.Equal(t, Problem{"aliyun.logs.l256", "the log l256 is refused: at most 256 logs may be declared"}, set.Errors[0])
}

func TestNumberOfProblemsIsBounded(t *testing.T) {
	labels := map[string]string{"aliyun.logs.good": "stdout"}
	for i := range 20_000 {
		labels[fmt.Sprintf("aliyun.logs.l%05d.format", i)] = "json"
	}
	set := readLabels(labels)
	require.Len(t, set.Declarations, 1)
	require.Len(t, set.Errors, maxProblems)
	require.Equal(t, Problem{"…", "19745 more problems are not shown"}, set.Errors[maxProblems-1])
}

func TestTagsAreBounded(t *testing.T) {
	many := map[string]string{"aliyun.logs.a": "stdout", "aliyun.logs.b": "stdout"}
	for i := range 257 {
		many[fmt.Sprintf("aliyun.logs.a.tags.t%03d", i)] = "v"
	}
	large := map[string]string{"aliyun.logs.a": "stdout", "aliyun.logs.b": "stdout", "aliyun.logs.a.tags.big": strings.Repeat("x", 8193)}
	sum := map[string]string{"aliyun.logs.a": "stdout", "aliyun.logs.b": "stdout"}
	for i := range 9 {
		sum[fmt.Sprintf("aliyun.logs.a.tags.t%d", i)] = strings.Repeat("x", 8000)
	}
	for name, c := range map[string]struct {
		labels map[string]string
		words  string
	}{
		"number": {many, "the log a has 257 tags; at most 256 are allowed"},
		"size":   {large, `the tag "big" has 8193 bytes; at most 8192 are allowed`},
		"sum":    {sum, "the tags of the log a have 72018 bytes; at most 65536 are allowed"},
	} {
		set := readLabels(c.labels)
		require.Len(t, set.Declarations, 1, name)
		require.Equal(t, "b", set.Declarations[0].Name)
		require.Len(t, set.Errors, 1, name)
		require.Equal(t, c.words, set.Errors[0].Message)
	}
}

// A variable that is used many times must not multiply.
func TestVariablesAreBounded(t *testing.T) {
	large := "X=" + strings.Repeat("x", 1<<20)
	for _, key := range []string{"aliyun.logs.a.tags", "aliyun.logs.a.target", "aliyun.logs.a.tags.t"} {
		labels := map[string]string{"aliyun.logs.a": "stdout", key: "k=" + strings.Repeat("$(X)", 200_000)}
		set := New("").Read(Input{Labels: labels, Env: []string{large}})
		require.Empty(t, set.Declarations, key)
		require.Contains(t, fmt.Sprint(set.Errors), "with its variables the value has more than 65536 bytes")
	}
	set := New("").Read(Input{Labels: map[string]string{"aliyun.logs.a": "stdout"}, Env: []string{large, "COM_ALIYUN_META_ENVS_X=x"}})
	require.Len(t, set.Declarations, 1)
	require.Len(t, set.Warnings, 1)
}

func TestCustomConfigIsBounded(t *testing.T) {
	set := New("").Read(Input{Env: []string{"aliyun_logs_a=stdout", "aliyun_logs_custom_config=" + strings.Repeat("a.fields.x=1\n", 100_000)}})
	require.Len(t, set.Errors, 1)
	require.Contains(t, set.Errors[0].Message, "more than 2000 lines")
	require.Equal(t, map[string]string{"x": "1"}, set.Declarations[0].Tags)

	set = readLabels(map[string]string{"aliyun.logs.a": "stdout", "aliyun.logs.a.configs": strings.Repeat("encoding=gbk,", 100_000)})
	require.Empty(t, set.Declarations)
	require.Contains(t, set.Errors[0].Message, "has 100000 options; at most 2000 are allowed")
}

func TestMetadataIsBounded(t *testing.T) {
	labels := map[string]string{"com.aliyun.access.large": strings.Repeat("x", 1<<20), "com.aliyun.access.a": "1"}
	for i := range 300 {
		labels[fmt.Sprintf("com.aliyun.access.t%03d", i)] = "v"
	}
	set := readLabels(labels)
	require.LessOrEqual(t, len(set.Metadata), maxMetadata)
	require.Equal(t, "1", set.Metadata["com_aliyun_access_a"])
	require.NotContains(t, set.Metadata, "com_aliyun_access_large")
	require.Len(t, set.Warnings, 302-maxMetadata)
}

// A pattern is matched with each name in a directory: one that multiplies would hold up everybody.
func TestPatternsAreBounded(t *testing.T) {
	for pattern, words := range map[string]string{
		"/l/" + strings.Repeat("{a,aa}", 30) + ".log":                              "its braces multiply",
		"/l/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}.log":                     "more than 256 patterns",
		"/l/{" + strings.Repeat("x,", 300) + "y}.log":                              "more than 256 patterns",
		"/l/" + strings.Repeat("{a,", 20) + "b" + strings.Repeat("}", 20) + ".log": "its braces multiply",
		"/l/**/a/**/b/**/c/**/*.log":                                               "has 4 double stars; at most 3 are allowed",
		"/l/" + strings.Repeat("a", 5000) + ".log":                                 "longer than the 4096 bytes",
	} {
		for _, labels := range []map[string]string{
			{"aliyun.logs.a": pattern}, {"aliyun.logs.a": "/l/*.log", "aliyun.logs.a.exclude": pattern},
		} {
			set := readLabels(labels)
			require.Empty(t, set.Declarations, pattern)
			require.Len(t, set.Errors, 1)
			require.Contains(t, set.Errors[0].Message, words)
		}
	}
	for _, pattern := range []string{
		"/l/*.log", "/l/{a,b}{c,d}/**/x[{,}]*.log", "/l/**/a/**/*.{log,txt,{out,err}}", `/l/\{a,b\}.log`, "/l/{" + strings.Repeat("x,", 255) + "y}.log",
	} {
		require.Empty(t, readLabels(map[string]string{"aliyun.logs.a": pattern}).Errors, pattern)
	}
	set := readLabels(map[string]string{"aliyun.logs.a": "/l/*.log", "aliyun.logs.a.exclude": strings.Repeat("/l/*.gz,", 65)})
	require.Len(t, set.Errors, 1)
	require.Contains(t, set.Errors[0].Message, "has 65 patterns; at most 64 are allowed")
}

func TestExpansions(t *testing.T) {
	for pattern, want := range map[string]int{
		"a": 1, "{a,b}": 2, "{a,b}{c,d,e}": 6, "{a,{b,c}{d,e}}": 5, "[{,}]": 1, `\{a,b\}`: 1, "a,b": 1, "{a}": 1, "{,a}": 2,
	} {
		n, _ := expansions(pattern, 0)
		assert.Equal(t, want, n, pattern)
	}
}

// explain says under which name a field arrives that can't have its own.
func TestReservedNamesAreWarnedOf(t *testing.T) {
	set := New("").Read(Input{Env: []string{"aliyun_logs_a=/l/a", "aliyun_logs_a_format=csv", "aliyun_logs_a_format_keys=host,x,team,,@timestamp", "aliyun_logs_a_tags=team=shop"}})
	require.Empty(t, set.Errors)
	require.Len(t, set.Warnings, 2)
	require.Equal(t, `the field "host" arrives as "app_host", because that name is the record's own`, set.Warnings[0].Message)
	set = New("").Read(Input{Env: []string{"aliyun_logs_a=/l/a", "aliyun_logs_a_format=regexp", "aliyun_logs_a_format_pattern=(?<source>x)"}})
	require.Contains(t, set.Warnings[0].Message, "app_source")
}
