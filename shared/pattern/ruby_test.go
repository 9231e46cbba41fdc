// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompileRuby(t *testing.T) {
	for _, c := range []struct {
		expr, line string
		dotAll     bool
		want       []string // by group; nil for no match
	}{
		{`^(?<id>\h{8}) (?<m>.*)$`, "00aaFF10 hello", false, []string{"00aaFF10", "hello"}},
		{`(?<a>[\hx]+)`, "zz1fx", false, []string{"1fx"}},
		{`(?<a>\H+)`, "1fx-", false, []string{"x-"}},
		{`/^(?<l>\w+) (?<m>.*)$/`, "INFO hello", false, []string{"INFO", "hello"}},
		{`/(?<l>info)/i`, "INFO", false, []string{"INFO"}},
		{`/(?<m>a.b)/m`, "a\nb", false, []string{"a\nb"}},
		{`/ (?<a> \d+ ) # digits
		   \s (?<b> [ ] )/x`, "12  ", false, []string{"12", " "}},
		{`(?x) (?<a> a\ b )`, "a b", false, []string{"a b"}},
		{`/api/(?<a>.*)`, "/api/x", false, []string{"x"}},
		{`(?<a>^b$)`, "a\nb\nc", false, []string{"b"}},
		{`\A(?<a>.*)\z`, "a\nb", false, nil},
		{`\A(?<a>.*)\z`, "a\nb", true, []string{"a\nb"}},
		{`(?m)\A(?<a>.*)\z`, "a\nb", false, []string{"a\nb"}},
		{`(?s)\A(?P<a>.*)\z`, "a\nb", false, []string{"a\nb"}},
		{`\A(?m:(?<a>.)).(?-m:(?<b>.))`, "\nxy", false, []string{"\n", "y"}},
		{`^(?<a>x{,2})y`, "xxy", false, []string{"xx"}},
		{`^(?<a>x{,2})y`, "xxxy", false, nil},
		{`(?<a>{"k":\d{2}})`, `{"k":12}`, false, []string{`{"k":12}`}},
		{`(?<a>[[:alpha:]]+)`, "12é", false, []string{"é"}},
		{`(?<a>\u00e9\u{1F600})`, "é😀", false, []string{"é😀"}},
		{`(?'a'x)`, "x", false, []string{"x"}},
		{`(?#a (comment)(?<a>x)`, "x", false, []string{"x"}},
		{`(?<q>["'])(?<text>.*?)\k<q>`, `say "it's"`, false, []string{`"`, "it's"}},
		{`(?<=\[)(?<a>[^\]]+)(?=\])`, "[x y]", false, []string{"x y"}},
		{`(?<a>[]x]+)`, "x]", false, []string{"x]"}},
		{`(?<a>(?>a+))b`, "aab", false, []string{"aa"}},
	} {
		p, err := CompileRuby(c.expr, c.dotAll)
		require.NoError(t, err, c.expr)
		loc, _, err := p.Find(nil, []byte(c.line))
		require.NoError(t, err)
		var got []string
		for i := 0; i < len(loc); i += 2 {
			got = append(got, c.line[loc[i]:loc[i+1]])
		}
		assert.Equal(t, c.want, got, c.expr)
	}
}

func TestCompileRubyRefuses(t *testing.T) {
	for expr, reason := range map[string]string{
		`(?<user-id>x)`: "letters, digits and _", `(?<ä>x)`: "letters, digits and _", `x\Ky`: `\K`, `\g<a>`: `\g`, `\R`: `\R`, `\X`: `\X`, `[a-z&&[^b]]`: "&&",
		`[a[bc]]`: "within a set", `[\H]`: "within a set", `(?~x)`: "absence", `a{2}?`: "question mark", `\Qa\E`: `\Q`, `x\`: "backslash", `[a`: "]", `(?<a`: "does not end",
		`\u12`: "four", `[[:nope:]]`: "not supported", `a**`: "nested", `(?<a>`: "missing",
	} {
		_, err := CompileRuby(expr, false)
		require.Error(t, err, expr)
		assert.ErrorContains(t, err, reason, expr)
	}
}

// Whatever is written compiles or is refused, and runs within its bounds.
func FuzzRuby(f *testing.F) {
	for _, expr := range []string{`/^(?<a>\h+)$/imx`, `(?x) a # b`, `[[:alpha:]\h&&]`, `(?i-m:x){,3}`, `\u{1f}`, `(?#x)`, `(?'a'\k<a>)`} {
		f.Add(expr, []byte("a\nb 1f"))
	}
	f.Fuzz(func(t *testing.T, expr string, line []byte) {
		p, err := CompileRuby(expr, len(line)%2 == 0)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		loc, _, err := p.Find(nil, line)
		for i := 0; i < len(loc) && err == nil; i += 2 {
			if loc[i] >= 0 {
				_ = line[loc[i]:loc[i+1]]
			}
		}
	})
}
