// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseFilters(t *testing.T) {
	f, err := ParseFilters(map[string]string{
		"keep": "ERROR", "keep.10": `level~^(warn|error)$`, "keep.2": `a\~b`, "drop.x": `~/home`,
		"mask": "email,bearer", "mask.1": `(?<k>key)=(\S+) => ${k}=>***`, "mask.2": "ipv4 => x.x.x.x", "mask.3": `(?<=pin )\d+ =>`,
		"add": "a=1,b=2", "add.c": "3,4", "rename": "x=y", "rename.deep.old": "new",
		"remove": " p , q,", "sample": " 10 ", "rate_limit": "0.5/s",
	})
	require.NoError(t, err)
	assert.Equal(t, Filters{
		Keep: []Condition{{"", "ERROR"}, {"", `a\~b`}, {"level", `^(warn|error)$`}},
		Drop: []Condition{{"", "~/home"}},
		Masks: []Mask{{Preset: "email"}, {Preset: "bearer"}, {Expr: `(?<k>key)=(\S+) => ${k}`, Replacement: "***"},
			{Preset: "ipv4", Replacement: "x.x.x.x"}, {Expr: `(?<=pin )\d+`}},
		Add:    []Pair{{"a", "1"}, {"b", "2"}, {"c", "3,4"}},
		Remove: []string{"p", "q"},
		Rename: []Pair{{"x", "y"}, {"deep.old", "new"}},
		Sample: 10, RateLimit: 0.5,
	}, f)

	for key, value := range map[string]string{
		"keep": "(", "drop.1": "f~(", "mask": " => x", "mask.1": "nothing", "add": "x", "rename": "a=",
		"sample": "1.5", "rate_limit": "NaN",
	} {
		_, err := ParseFilters(map[string]string{key: value})
		assert.ErrorContains(t, err, key+": ", key)
	}
}

func TestParseMultiline(t *testing.T) {
	ml, err := ParseMultiline(nil)
	require.NoError(t, err)
	assert.Equal(t, Multiline{MaxLines: 500, MaxBytes: 1 << 20, Timeout: time.Second}, ml)
	assert.False(t, ml.grouping())

	ml, err = ParseMultiline(map[string]string{"start": "a", "end": "b", "continue": "c", "max_lines": "7", "max_bytes": "64k", "timeout": "250ms"})
	require.NoError(t, err)
	assert.Equal(t, Multiline{Start: "a", End: "b", Continue: "c", MaxLines: 7, MaxBytes: 64 << 10, Timeout: 250 * time.Millisecond}, ml)

	for key, value := range map[string]string{"start": "(", "end": "[", "continue": "*", "preset": "cobol", "max_lines": "-1", "max_bytes": "", "timeout": "soon"} {
		_, err := ParseMultiline(map[string]string{key: value})
		assert.ErrorContains(t, err, key+": ", key)
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int{
		"1": 1, " 65536 ": 65536, "64k": 65536, "64KiB": 65536, "64 KB": 65536, "1m": 1 << 20, "1MiB": 1 << 20, "2g": 1 << 31, "512b": 512,
		"": 0, "0": 0, "-1": 0, "3g": 0, "1.5m": 0, "m": 0, "1t": 0, "9999999999999999999": 0,
	} {
		n, err := parseSize(s)
		assert.Equal(t, want, n, s)
		assert.Equal(t, want == 0, err != nil, s)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1s": time.Second, "5": 5 * time.Second, "0.5": time.Second / 2, "7d": 168 * time.Hour, "1h30m": 90 * time.Minute,
		"": 0, "0": 0, "-1s": 0, "d": 0, "1w": 0, "NaN": 0, "1e300": 0, "inf": 0,
	} {
		d, err := parseDuration(s)
		assert.Equal(t, want, d, s)
		assert.Equal(t, want == 0, err != nil, s)
	}
}

func TestSplitList(t *testing.T) {
	for s, want := range map[string][]string{
		"": nil, " , ": nil, "a": {"a"}, " a , b,": {"a", "b"}, "{a,b}.log,c": {"{a,b}.log", "c"}, "}a,b": {"}a", "b"}, "{a,b": {"{a,b"},
	} {
		assert.Equal(t, want, SplitList(s), s)
	}
}
