// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
)

func TestStartsWithTime(t *testing.T) {
	for _, line := range []string{
		"2026-11-21T07:41:07.123Z x", "2026-11-21 07:41:07,123 x", "[2026-11-21 07:41:07] x", "2026/11/21 07:41:07 x", "2026.11.21 07:41 x", "20261121T074107 x",
		"INFO 2026-11-21 07:41:07 x", "[INFO] 2026-11-21 07:41:07 x", "INFO: [2026-11-21 07:41:07] x", "[2026-11-21T07:41:07][INFO] x", "E, [2026-11-21T07:41:07.1 #9] x",
		"<34>Nov 21 07:41:07 x", "Nov 21 07:41:07 host x", "Nov  1 07:41:07 host x", "Sat Nov 21 07:41:07 2026 x", "[Sat Nov 21 07:41:07.123 2026] x", "Sat, 21 Nov 2026 07:41:07 GMT x",
		"21/Nov/2026:07:41:07 +0000 x", "21-Nov-2026 07:41:07 x", "[21-Nov-2026 07:41:07 UTC] x", "21 Nov 2026 07:41:07 x", "21/11/2026 07:41:07 x", "21.11.2026 07:41:07 x", "11/21/26 07:41 x",
		"Nov 21, 2026 7:41:07 AM x", "07:41:07.123 [main] x", "07:41:07,123 x", "I1121 07:41:07.123456 1 x.go:1] x", "261121  7:41:07 [Note] x", "1763712067.123 x", "(2026-11-21 07:41:07) x",
		"DEBUG | 2026-11-21 07:41:07 x", "warning - 2026-11-21 07:41:07 x", "11-21 07:41:07.123 x",
	} {
		assert.True(t, startsWithTime([]byte(line)), line)
	}
	for _, line := range []string{
		"", "x", "\tat x", "    at f (a.js:1:2)", "12345678 lines", "Caused by: x", "Monday is a day", "May the force", "Marathon 12 00:00:00", "127.0.0.1 - - [21/Nov/2026:07:41:07 +0000]", "0x00c0000a2000",
		"user 2026-11-21 07:41:07", "2026 was a year", "#0 /srv/a.php(3)", "Information 2026-11-21", "{\"time\":\"2026-11-21T07:41:07Z\"}",
	} {
		assert.False(t, startsWithTime([]byte(line)), line)
	}
}

// Each trace of each language comes out whole, between records with a time and alone.
func TestAutoKnowsTheTracesOfAllLanguages(t *testing.T) {
	d := declare.Declaration{Multiline: map[string]string{"preset": "auto"}}
	for preset, texts := range traces {
		if preset == "indent" {
			continue
		}
		for _, text := range texts {
			first, _, _ := strings.Cut(strings.TrimPrefix(text, "\n"), "\n\n")
			first = strings.ReplaceAll(first, "\n~", "\n")
			if startsWithTime([]byte(first)) {
				continue
			}
			input := "2026-11-21 07:41:07 before\n2026-11-21 07:41:08 before\n" // which ends what goes before
			got := run(t, d, newSource(), []byte(first+"\n2026-11-21 07:41:09 next\n"))
			require.Len(t, got, 2, "%s %q", preset, first)
			require.Equal(t, first, string(got[0].Line), preset)
			got = run(t, d, newSource(), []byte(input+first+"\n2026-11-21 07:41:09 next\n"))
			require.Len(t, got, 3, "%s %q", preset, first)
			require.Equal(t, "2026-11-21 07:41:08 before\n"+first, string(got[1].Line), preset)
		}
	}
}

// Where most lines begin with neither a time nor anything known, one that does begin with a time does not take them in.
func TestAutoLeavesTimesAloneWhereTheySayNothing(t *testing.T) {
	d := declare.Declaration{Multiline: map[string]string{"preset": "auto"}}
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "request %d done, which is all that is to be said of it\n", i)
		if i%10 == 0 {
			fmt.Fprintf(&text, "2026-11-21 07:41:07 checkpoint %d\n", i)
		}
	}
	got := run(t, d, newSource(), []byte(text.String()))
	last := got[len(got)-1]
	require.Equal(t, "request 1999 done, which is all that is to be said of it", string(last.Line))
	require.Greater(t, len(got), 900)

	text.Reset()
	for i := range 2000 {
		fmt.Fprintf(&text, "2026-11-21 07:41:07 record %d\nand what follows\n", i)
	}
	got = run(t, d, newSource(), []byte(text.String()))
	require.Len(t, got, 2000)
}

func TestStrip(t *testing.T) {
	trace := "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nValueError: x"
	for kind, prefix := range map[string]string{"compose": "web-1  | ", "syslog": "<34>Nov 21 07:41:07 host app[12]: ", "time": "2026-11-21T07:41:07.5Z "} {
		d := declare.Declaration{Multiline: map[string]string{"preset": "python", "strip": kind}}
		input := prefix + strings.ReplaceAll(trace, "\n", "\n"+prefix) + "\n" + prefix + "next\nbare\n"
		got := run(t, d, newSource(), []byte(input))
		require.Len(t, got, 3, kind)
		require.Equal(t, trace, string(got[0].Line), kind)
		require.Equal(t, "next", string(got[1].Line))
		require.Equal(t, "bare", string(got[2].Line))
		if kind != "compose" {
			require.Equal(t, int64(1795246867), got[0].Time/1e9, kind)
		}
	}
}

// What was learned comes from complete records alone, and a chain that is given it cuts the same ones from there on.
func TestAutoContinuesWithWhatWasLearned(t *testing.T) {
	d, src := declare.Declaration{Multiline: map[string]string{"preset": "auto"}}, newSource()
	var lines []string
	for i := range 4000 {
		lines = append(lines, fmt.Sprintf("request %d done, which is all that is to be said of it", i))
		if i%10 == 0 {
			lines = append(lines, fmt.Sprintf("2026-11-21 07:41:07 checkpoint %d", i))
		}
	}
	deliver := func(c *Chain, from, to int) (out []string) {
		offset := int64(from) * 10
		b := batchOf(src, &offset, lines[from:to]...)
		applyAll(c, b, 0, readAt, to == len(lines))
		return texts(b)
	}
	whole := newChain(t, d, src)
	want := deliver(whole, 0, len(lines))
	require.Contains(t, whole.Learned(), "traces ")
	for _, died := range []int{10, 500, 1000, 2000, 3000, 4000} {
		first := newChain(t, d, src)
		got := deliver(first, 0, died)
		second := newChain(t, d, src)
		second.Restore(first.Learned())
		require.Equal(t, first.Learned(), second.Learned())
		low := died
		if at := first.Open(); at >= 0 {
			low = int(at / 10)
		}
		require.Equal(t, want, append(got, deliver(second, low, len(lines))...), "died at %d", died)
	}
	newChain(t, declare.Declaration{Filters: map[string]string{"drop": "x"}}, src).Restore("nonsense")
}
