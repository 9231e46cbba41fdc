// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/cputime"
)

func compile(t testing.TB, expr string) *Pattern {
	t.Helper()
	p, err := Compile(expr)
	require.NoError(t, err)
	return p
}

// Each row runs on the engine that its expression needs; both have to agree on what offsets and groups mean.
func TestFind(t *testing.T) {
	for _, c := range []struct {
		expr, line string
		groups     []string
		want       []string // by group; "-" where it took no part; nil for no match
	}{
		{`(?P<a>\d+)-(?P<b>\d+)`, "x 12-34", []string{"a", "b"}, []string{"12", "34"}},
		{`(?<a>\d+)-(?<b>\d+)`, "x 12-34", []string{"a", "b"}, []string{"12", "34"}},
		{`(\d)(?<a>\d)(\d)(?<b>\d)`, "1234", []string{"a", "b"}, []string{"2", "4"}},
		{`(?<a>x)|(?<b>y)`, "y", []string{"a", "b"}, []string{"-", "y"}},
		{`(?<a>x)(?<b>.)|(?<a>y)(?<b>.)`, "yz", []string{"a", "b"}, []string{"y", "z"}},
		{`no groups`, "no groups", nil, []string{}},
		{`(?<a>z)`, "y", []string{"a"}, nil},
		{`(?<a>\w+)`, "\xff\xc3w", []string{"a"}, []string{"w"}},

		{`(?=name:hello).*`, "name:hello", nil, []string{}},
		{`(?=name:hello).*`, "name:other", nil, nil},
		{`(?<=\[)(?P<a>[^\]]+)(?=\])`, "é [x y]", []string{"a"}, []string{"x y"}},
		{`(\d)(?<a>\d)(?!x)(\d)(?<b>\d)`, "1234", []string{"a", "b"}, []string{"2", "4"}},
		{`(?<q>["'])(?<text>.*?)\k<q>`, `say "it's"`, []string{"q", "text"}, []string{`"`, "it's"}},
		{`(?<a>x)(?=.)|(?<b>y)`, "y", []string{"a", "b"}, []string{"-", "y"}},
		{`(?<a>x)(?=.)|(?<a>y)`, "y", []string{"a"}, []string{"y"}},
		{`(?>a+)(?<a>b)`, "\xff日本aab", []string{"a"}, []string{"b"}},
		{`(?<a>z)(?=.)`, "", []string{"a"}, nil},
	} {
		p := compile(t, c.expr)
		assert.Equal(t, c.groups, p.Groups(), c.expr)
		loc, _, err := p.Find(nil, []byte(c.line))
		require.NoError(t, err, c.expr)
		ok, _, err := p.Match([]byte(c.line))
		require.NoError(t, err, c.expr)
		assert.Equal(t, c.want != nil, ok, c.expr)
		if c.want == nil {
			assert.Nil(t, loc, c.expr)
			continue
		}
		got := []string{}
		for i := 0; i < len(loc); i += 2 {
			if loc[i] < 0 {
				assert.Equal(t, -1, loc[i+1], c.expr)
				got = append(got, "-")
				continue
			}
			got = append(got, c.line[loc[i]:loc[i+1]])
		}
		assert.NotNil(t, loc, c.expr)
		assert.Equal(t, c.want, got, c.expr)
	}
}

func TestFindReusesMemory(t *testing.T) {
	for _, expr := range []string{`(?<a>\d+)-(?<b>\d+)`, `(?<a>\d+)-(?=\d)(?<b>\d+)`} {
		p := compile(t, expr)
		dst := make([]int, 0, 8)
		loc, _, err := p.Find(dst, []byte("12-34"))
		require.NoError(t, err)
		assert.Equal(t, []int{0, 2, 3, 5}, loc)
		assert.Same(t, &dst[:1][0], &loc[0], expr)
	}
}

func TestAllocations(t *testing.T) {
	// The least of many runs: under the race detector sync.Pool, which regexp keeps its machines in, forgets at random.
	allocs := func(f func()) float64 {
		least := testing.AllocsPerRun(1, f)
		for range 50 {
			least = min(least, testing.AllocsPerRun(1, f))
		}
		return least
	}
	p, dst := compile(t, `(?<a>\d+)-(?<b>\d+)`), make([]int, 0, 8)
	line, other := []byte("x 12-34"), []byte("x 12")
	assert.Zero(t, allocs(func() { _, _, _ = p.Match(line) }))
	assert.Zero(t, allocs(func() { _, _, _ = p.Find(dst, other) }), "where nothing matches")
	assert.LessOrEqual(t, allocs(func() { _, _, _ = p.Find(dst, line) }), 1.0, "regexp's own slice")
}

func TestReplace(t *testing.T) {
	for _, c := range []struct{ expr, line, template, want string }{
		{`\d+`, "a1b22", "#", "a#b#"},
		{`\d+`, "none", "#", "none"},
		{`(?<user>\w+)@(\w+)`, "me@home, you@work", "${user}@***", "me@***, you@***"},
		{`(\w+)@(\w+)`, "me@home", "$2 at $1; $$5 $ $? ${1 $missing.", "home at me; $5 $ $? ${1 ."},
		{`^a`, "aaa", "b", "baa"},
		{`\ba`, "aa a", "b", "ba b"},
		{`(?m)^`, "x\ny", "> ", "> x\n> y"},
		{`a*`, "baaac", "-", "-b-c-"},
		{`x*`, "日本", "-", "-日-本-"},
		{`\Qa.b`, "a.ba.b", "-", "--"},

		{`(?<=token=)\w+`, "token=abc token=def", "***", "token=*** token=***"},
		{`(?<user>\w+)(?=@)@(\w+)`, "me@home, you@work", "${user}@***", "me@***, you@***"},
		{`(?=a)a*|a*`, "baaac", "-", "-b-c-"},
		{`(?<!\w)a`, "aa a", "b", "ba b"},
	} {
		got, _, _, err := compile(t, c.expr).Replace([]byte("kept "), []byte(c.line), c.template, 1<<30)
		require.NoError(t, err)
		assert.Equal(t, "kept "+c.want, string(got), c.expr)
	}
}

func TestCompileRefuses(t *testing.T) {
	for expr, reason := range map[string]string{
		`(unclosed`:                    "missing closing )",
		`(?=unclosed`:                  "missing closing )",
		`[z-a]`:                        "range in reverse order",
		`a**`:                          "nested repetition",
		`\p{Nonsense}`:                 "unknown unicode category",
		`(?=a)\p{Nonsense}`:            "unknown unicode category",
		strings.Repeat("x{1000}", 11):  "too large",
		strings.Repeat("x", MaxExpr+1): "at most 8192",
		strings.Repeat("(", 1500) + strings.Repeat(")", 1500): "nest",
		strings.Repeat("(?=", 2500) + "x":                     "missing closing )",
		`(?=a)` + strings.Repeat("(?:x|", 99):                 "missing closing )",
	} {
		_, err := Compile(expr)
		require.Error(t, err, expr)
		assert.ErrorContains(t, err, reason)
	}
}

// Both engines end at the limit, whatever was declared. It is one of CPU time: what a loaded machine adds does not count.
func TestTimeLimit(t *testing.T) {
	long := bytes.Repeat([]byte("a"), 1<<20)
	for _, c := range []struct {
		expr string
		line []byte
		want error
	}{
		{`^(?=a)(a+)+$`, append(bytes.Repeat([]byte("a"), 100), '!'), ErrTimeout},
		{`(?=a)a`, long, ErrTooLong},
		{`(.?){900}(.?){900}!`, long, ErrTimeout},
	} {
		p := compile(t, c.expr)
		for name, try := range map[string]func() error{
			"match":   func() error { _, _, err := p.Match(c.line); return err },
			"find":    func() error { _, _, err := p.Find(nil, c.line); return err },
			"replace": func() error { _, _, _, err := p.Replace(nil, c.line, "x", 1<<30); return err },
		} {
			watch := cputime.Start()
			assert.ErrorIs(t, try(), c.want, "%s %s", name, c.expr)
			assert.Less(t, watch.Stop(), time.Second, "%s %s", name, c.expr)
		}
	}
}

// Each of the matches is quick here, but each looks at all that is left of the line.
func TestReplaceTimeLimitHoldsForAllMatchesTogether(t *testing.T) {
	line := bytes.Repeat([]byte("a"), 100<<10)
	for _, expr := range []string{`a(?:.*b)?`, `a(?=.)(?:.*b)?`} {
		p, kept := compile(t, expr), []byte("kept")
		watch := cputime.Start()
		got, _, _, err := p.Replace(kept, line, "x", 1<<30)
		assert.Less(t, watch.Stop(), time.Second)
		assert.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, "kept", string(got))
	}
}

func TestLongLineWithinTheLimit(t *testing.T) {
	line := append(bytes.Repeat([]byte("日"), 30<<10), " id=7;"...)
	p := compile(t, `id=(?<id>\d+);(?:x{0,100}){0,3}`)
	require.False(t, quick(p.cost, line), "the line has to be read against the clock")
	loc, _, err := p.Find(nil, line)
	require.NoError(t, err)
	assert.Equal(t, "7", string(line[loc[0]:loc[1]]))
	got, _, _, err := p.Replace(nil, line, "$id!", 1<<30)
	require.NoError(t, err)
	assert.Equal(t, "7!", string(got[len(got)-2:]))
}

func TestEqualExpressionsAreShared(t *testing.T) {
	assert.Same(t, compile(t, `shared \d+`), compile(t, `shared \d+`))
	for i := range 3 * maxShared {
		compile(t, fmt.Sprintf("filler %d", i))
	}
	assert.LessOrEqual(t, len(shared.patterns), maxShared)
	heavy := compile(t, `x{600}y{600}`)
	assert.NotSame(t, heavy, compile(t, `x{600}y{600}`))
}

// Where both know an expression, Find and Replace agree with regexp's own, and nothing panics or runs on anywhere else.
func FuzzPattern(f *testing.F) {
	for _, expr := range []string{`(?<a>\d+)(x)?`, `^a|b*?$`, `(?i)\bfoo\B`, `(?=x)(?<n>.)\1`, `\Qab`, `(?:a|b(?<c>c))*`, `(?m:^|x)$`, `(?<1>a)(?=b)`, `(?n)(?d)(?r)(?=a)`} {
		f.Add(expr, []byte("12x foo abab\xff日\nx"))
	}
	f.Fuzz(func(t *testing.T, expr string, line []byte) {
		p, err := Compile(expr)
		if err != nil {
			return
		}
		loc, _, findErr := p.Find(nil, line)
		for i := 0; i < len(loc); i += 2 {
			if loc[i] >= 0 {
				_ = line[loc[i]:loc[i+1]]
			}
		}
		got, _, _, replaceErr := p.Replace(nil, line, "<$0>", 1<<30)
		re, err := regexp.Compile(expr)
		if err != nil || findErr != nil || replaceErr != nil {
			return
		}
		require.Equal(t, re.Match(line), loc != nil)
		require.Equal(t, string(re.ReplaceAll(line, []byte("<$0>"))), string(got))
	})
}

func BenchmarkFind(b *testing.B) {
	line := []byte(`2024-05-01T10:00:00.000Z INFO [main] com.example.Service - handled request id=12345 in 17 ms`)
	for _, c := range []struct{ name, expr string }{
		{"linear", `^(?<time>\S+) (?<level>\w+) \[(?<thread>[^\]]+)\] (?<class>\S+) - (?<msg>.*)$`},
		{"backtracking", `^(?<time>\S+) (?=[A-Z])(?<level>\w+) \[(?<thread>[^\]]+)\] (?<class>\S+) - (?<msg>.*)$`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, dst := compile(b, c.expr), make([]int, 0, 32)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if loc, _, err := p.Find(dst, line); loc == nil || err != nil {
					b.Fatal(loc, err)
				}
			}
		})
	}
}

// A match whose thread is kept from the CPU, as under a quota, is not taken for a slow one: what it may spend is CPU time.
func TestWaitingForTheCPUIsNoTimeout(t *testing.T) {
	stand := func(d time.Duration) {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil)
	}
	b := &backtrack{}
	for i := range b.attempts {
		b.attempts[i] = &regexp2.Regexp{MatchTimeout: patience[i]}
	}
	calls := 0
	took, err := b.run(func(re *regexp2.Regexp) error {
		calls++
		if re.MatchTimeout == Limit { // the first attempts find their time gone
			stand(Limit)
			return ErrTimeout
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 3, calls, "once without a clock, twice with")
	require.Less(t, took, Slow)

	watch := newTimer()
	stand(Limit + 10*time.Millisecond)
	require.False(t, watch.over())
	for watch.watch.Spent() < Limit {
	}
	stand(time.Until(watch.check))
	require.True(t, watch.over())
	watch.watch.Stop()
}

// What Replace makes stops at its limit, however often a template repeats what was matched, and holds no match.
func TestReplaceStopsAtItsLimit(t *testing.T) {
	secret := strings.Repeat("secret ", 1000)
	for _, expr := range []string{`secret`, `(?=s)secret`} {
		for template, want := range map[string]string{"x": "x ", strings.Repeat("long", 4000): "long", strings.Repeat("$0", 3): "secret"} {
			got, cut, _, err := compile(t, expr).Replace([]byte("kept "), []byte(secret), template, 500)
			require.NoError(t, err)
			assert.True(t, cut)
			assert.Len(t, got, 505)
			assert.True(t, strings.HasPrefix(string(got), "kept "+want))
			if template == "x" {
				assert.NotContains(t, string(got), "secret")
			}
		}
	}
	got, cut, _, err := compile(t, `(a+)`).Replace(nil, bytes.Repeat([]byte("a"), 1<<20), strings.Repeat("$1", 4000), 1<<20)
	require.NoError(t, err)
	require.True(t, cut)
	require.Len(t, got, 1<<20)
	require.Less(t, cap(got), 4<<20)
}
