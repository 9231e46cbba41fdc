// SPDX-License-Identifier: Apache-2.0

package try

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func try(t *testing.T, c Command, sample string) (records, summary string, err error) {
	t.Helper()
	var out, sum bytes.Buffer
	err = c.Try("sample.log", strings.NewReader(sample), &out, &sum)
	return out.String(), sum.String(), err
}

func TestRecordsAndWhatDidNotMatch(t *testing.T) {
	c := Command{Format: "json", Set: map[string]string{"drop": "debug", "tags": "team=shop", "format.time_key": "ts"}}
	records, summary, err := try(t, c, `{"ts":"2026-02-03T04:05:06Z","m":1}`+"\nplain\n{\"level\":\"debug\"}\n{\"a\"\n{\"b\"")
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(records, "\n"))
	require.Contains(t, records, `{"@timestamp":"2026-02-03T04:05:06.000000000Z","offset":0,"m":1,"source":"sample.log","team":"shop"}`+"\n")
	require.Equal(t, "5 lines, 4 records, 1 filtered, 3 did not match\n"+
		"  2: a colon was expected (first: record 3)\n  1: the line is not a JSON object (first: record 2)\n", summary)
}

func TestGroupsAndFormatsWithoutOptions(t *testing.T) {
	records, summary, err := try(t, Command{Set: map[string]string{"multiline.preset": "java"}}, "E: x\n\tat a.b(C.java:1)\nnext")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(records, "\n"))
	require.Equal(t, "3 lines, 2 records, 0 filtered, 0 did not match\n", summary)
	records, _, err = try(t, Command{}, "")
	require.NoError(t, err)
	require.Empty(t, records)
}

func TestWrongDeclarationsAreRefused(t *testing.T) {
	for key, c := range map[string]Command{
		"format: ":         {Format: "jsno"},
		"mask: ":           {Set: map[string]string{"mask": "("}},
		"format.time_key:": {Format: "nginx", Set: map[string]string{"format.time_key": "x"}},
	} {
		records, _, err := try(t, c, "x\n")
		require.ErrorContains(t, err, key)
		require.Empty(t, records)
		var s status
		require.True(t, errors.As(err, &s))
		require.Equal(t, 1, s.ExitCode())
	}
}

func TestWarningsAreShown(t *testing.T) {
	_, summary, err := try(t, Command{Set: map[string]string{"nonsense": "1", "exclude": "*.gz"}}, "x\n")
	require.NoError(t, err)
	require.Contains(t, summary, `warning: "nonsense": `)
}

// A sample of any length, of lines of any length, takes little memory, and all of it comes out.
func TestALargeSample(t *testing.T) {
	sample := strings.Repeat("x", 5<<20) + "\n" + strings.Repeat("short\n", 1<<20)
	records, summary, err := try(t, Command{Set: map[string]string{"drop": "short"}}, sample)
	require.NoError(t, err)
	require.Equal(t, 5, strings.Count(records, "\n"))
	require.Equal(t, fmt.Sprintf("%d lines, 5 records, %d filtered, 0 did not match\n  4 were truncated\n", 1<<20+5, 1<<20), summary)
}
