// SPDX-License-Identifier: Apache-2.0

package escape_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/escape"
)

// hostile are things that a name can hold to fool who reads it.
var hostile = []string{
	"\x1b[2J\x1b[31mOK", "a\nweb  stdout  fine", "a\rb", "a\tb", "\u009b31m", "\x9b31m", "abc\u202egol.exe", "\u2066x\u2069",
	"a\u200fb", "a\u061cb", "zero\u200bwidth", "\u2028", "\U000e0041", "\x00", "\x7f", "nbsp\u00a0", "\xff\xfe", "\ufeffx",
}

func TestNothingThatATerminalActsOn(t *testing.T) {
	for _, s := range hostile {
		for _, shown := range []string{escape.Text(s), escape.Word(s), escape.Lines(s)} {
			for _, r := range strings.ReplaceAll(shown, "\n", "") {
				require.True(t, strconv.IsPrint(r), "%q has %q", shown, r)
			}
			require.NotContains(t, escape.Text(s), "\n")
			require.True(t, utf8.ValidString(shown))
		}
		encoded, err := json.Marshal(map[string]string{s: s})
		require.NoError(t, err)
		shown := escape.JSON(encoded)
		for _, r := range string(shown) {
			require.True(t, strconv.IsPrint(r), "%q has %q", shown, r)
		}
		var got, want map[string]string
		require.NoError(t, json.Unmarshal(shown, &got))
		require.NoError(t, json.Unmarshal(encoded, &want))
		require.Equal(t, want, got, "it means the same")
	}
}

func TestWhatIsPrintableStays(t *testing.T) {
	for _, s := range []string{"/var/log/nginx/*.log", "日志/应用.log", "Grüße", "a b \"c\" \\d", "😀"} {
		require.Equal(t, s, escape.Text(s))
	}
	require.Equal(t, "web", escape.Word("web"))
	require.Equal(t, `""`, escape.Word(""))
	require.Equal(t, `"a b"`, escape.Word("a b"))
	require.Equal(t, `"a\"b"`, escape.Word(`a"b`))
	require.Equal(t, `"\x1b"`, escape.Word("\x1b"))
	require.Equal(t, "a\nb\\x1b", escape.Lines("a\nb\x1b"))
}

func TestLengthIsBounded(t *testing.T) {
	shown := escape.Text(strings.Repeat("é", 100_000))
	require.Less(t, len(shown), 1100)
	require.True(t, utf8.ValidString(shown))
	require.True(t, strings.HasSuffix(shown, "é…"))
	require.Less(t, len(escape.Text(strings.Repeat("\x1b", 100_000))), 5000)
}
