// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/record"
)

// requireSameAsAny parses line in the usual way and in that for any line, and requires that the usual way makes the same of
// it, or leaves it alone. It reports which.
func requireSameAsAny(t require.TestingT, usual, other *access, line []byte) (taken bool) {
	one, two := record.NewBatch(0), record.NewBatch(0)
	got, want := record.Record{Line: line, Time: readAt}, record.Record{Line: line, Time: readAt}
	before := bytes.Clone(line)
	taken = usual.usual(one, &got)
	require.Equal(t, before, line)
	if !taken {
		require.Equal(t, record.Record{Line: line, Time: readAt}, got, "%q", line)
		require.Empty(t, one.Arena, "%q", line)
		return false
	}
	require.Equal(t, problem{}, other.parseAny(two, &want), "%q", line)
	require.Equal(t, string(want.Fields), string(got.Fields), "%q", line)
	require.Equal(t, want.Time, got.Time, "%q", line)
	return true
}

// parsers returns two parsers of access logs with the same names. In some the client's port has a member of its own, or there
// are no members for what everybody logs.
func parsers(t require.TestingT, which int) (usual, other *access) {
	name := func(key string) member {
		if which == 2 && (key == "status" || key == "http_referer" || key == "remote_addr") {
			return ""
		}
		return newMember(key)
	}
	make := func() *access {
		f, err := newAccess(name)
		require.NoError(t, err)
		if which == 1 {
			f.bare, f.names.addrPort = true, newMember("port")
		}
		return f
	}
	return make(), make()
}

func TestUsualLinesAreParsedAsAny(t *testing.T) {
	if !wide {
		return // there is no other way
	}
	one := func(t *rapid.T, what string, of ...string) string { // the first more often than not
		if rapid.IntRange(0, 9).Draw(t, what+" differs") < 8 {
			return of[0]
		}
		return rapid.SampledFrom(of).Draw(t, what)
	}
	taken, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		usual, other := parsers(t, rapid.IntRange(0, 2).Draw(t, "names"))
		for range rapid.IntRange(1, 8).Draw(t, "lines") {
			line := []byte(one(t, "addr", "203.0.113.77", "::1", "[::1]:443", "host", "host:8080", "-", "", "1.2.3.4,", strings.Repeat("2001:db8::", 6)) +
				one(t, "ident", " - ", " ident ", "  ", " ") + one(t, "user", "-", "frank", "", "two words", "a[b", strings.Repeat("u", 60)) +
				one(t, "open", " [", " ", "[") + one(t, "time", "21/Nov/2026:07:41:07 +0000", "22/Nov/2026:23:59:59 -0730",
				"21/Nov/2026:07:61:07 +0000", "2026-11-21T07:41:07+00:00", "2026-11-21T07:41:07.1+00:00") + one(t, "close", "] ", "]", "]  ") +
				one(t, "request", `"GET / HTTP/1.1"`, `"GET /a?b=c HTTP/2.0"`, `"POST /a b HTTP/1.1"`, `"-"`, `""`, `"get /"`, `"GET /"`, `"\x16\x03"`, `"G ET"`, `"PROPFIND  HTTP/1.1"`, `"`) +
				one(t, "status", " 200", " 000", " 20", " 2000", " -", "", " abc") +
				one(t, "size", " 5316", " 0", " 007", " -", "", " 1234567890123456789", " 12.5") +
				one(t, "referer", ` "-"`, ` "https://shop.example.com/"`, ` ""`, ` -`, ``, `  "x"`, ` "a \"b\""`) +
				one(t, "agent", ` "Mozilla/5.0 (X11)"`, ` "-"`, ` "ü"`, ` "a`, ` -`, ``, ` "`+strings.Repeat("long ", rapid.IntRange(0, 100).Draw(t, "long"))+`"`) +
				one(t, "tail", "", " ", ` "198.51.100.7"`, ` "198.51.100.7`, " 0.120", " 0.120 0.001, 0.119", " 312 0", " 17 6000", " 18 6000", ` rt=0.1 "x y" [z`, "x",
					` 812 0.120 [shop-web-80] [] 10.1.2.3:8080 5316 0.119 200 0123456789abcdef`))
			for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "damages") {
				if len(line) > 0 {
					i := rapid.IntRange(0, len(line)-1).Draw(t, "at")
					line[i] = rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(` "[]-\\`))).Draw(t, "damage")
				}
			}
			if all++; requireSameAsAny(t, usual, other, line) {
				taken++
			}
		}
	})
	require.Greater(t, taken, all/20, "of %d lines", all)
}

// These are the lines for which the way exists.
func TestUsualTakesWhatServersWrite(t *testing.T) {
	if !wide {
		return // there is no other way
	}
	usual, other := parsers(t, 0)
	for _, line := range []string{
		nginxLine,
		`::1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 304 - "-" "-"`,
		`- - - [10/Oct/2000:13:55:36 -0700] "-" 400 0 "-" "-"`,
		nginxLine[:len(nginxLine)-1] + strings.Repeat("x", maxMarked-len(nginxLine)) + `"`,
		nginxLine + ` "198.51.100.7, 10.0.0.1" 0.120 0.001, 0.119`,
		nginxLine + ` 812 0.120 [shop-web-80] [] 10.1.2.3:8080 5316 0.119 200 0123456789abcdef`,
	} {
		require.True(t, requireSameAsAny(t, usual, other, []byte(line)), "%q", line)
	}
	for _, line := range []string{
		nginxLine[:len(nginxLine)-1] + strings.Repeat("x", maxMarked-len(nginxLine)+1) + `"`, // one byte too long
		strings.Replace(nginxLine, "Mozilla", `Moz\"illa`, 1),
		strings.Replace(nginxLine, "Mozilla", "Mözilla", 1),
		strings.Repeat("a", 65) + nginxLine[strings.Index(nginxLine, "["):], // no blank among the first 64 bytes
		"a " + strings.Repeat("a", 63) + nginxLine[strings.Index(nginxLine, "["):],
	} {
		require.False(t, requireSameAsAny(t, usual, other, []byte(line)), "%q", line)
	}
}

func FuzzUsual(f *testing.F) {
	addGolden(f, "nginx", "apache2")
	f.Add([]byte(nginxLine))
	f.Fuzz(func(t *testing.T, line []byte) {
		if wide {
			usual, other := parsers(t, 0)
			requireSameAsAny(t, usual, other, line)
		}
	})
}
