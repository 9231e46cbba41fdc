// SPDX-License-Identifier: Apache-2.0

package cut_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
)

var source = record.NewSource("s", "d", "/l", "t", nil, nil)

// got is what a test compares of a record.
type got struct {
	Line      string
	Offset    int64
	Std       record.Std
	Truncated bool
}

// cutAll gives data to c in pieces that end at the offsets of ends, as a stream would that grows, and then says that
// nothing follows. Each call gets memory of its own, which is overwritten afterwards: a cutter that kept a slice shows.
func cutAll(c cut.Cutter, data []byte, ends ...int) (all []got) {
	pos := 0
	for i, end := range append(ends, len(data)) {
		b := record.NewBatch(0)
		piece := bytes.Clone(data[pos:end])
		n := c.Cut(b, piece, int64(pos), 1, i == len(ends))
		for _, r := range b.Records {
			all = append(all, got{string(r.Line), r.Offset, r.Std, r.Truncated})
		}
		for i := range piece {
			piece[i] = 0xee
		}
		pos += n
	}
	return all
}

func TestLines(t *testing.T) {
	zeros := strings.Repeat("\x00", 100)
	for name, c := range map[string]struct {
		in   string
		max  int
		want []got
	}{
		"nothing":                {"", 9, nil},
		"newlines alone":         {"\n\n", 9, []got{{"", 0, 0, false}, {"", 1, 0, false}}},
		"a line":                 {"ab\n", 9, []got{{"ab", 0, 0, false}}},
		"carriage return":        {"ab\r\nc\r\n", 9, []got{{"ab", 0, 0, false}, {"c", 4, 0, false}}},
		"carriage return inside": {"a\rb\r\r\n", 9, []got{{"a\rb\r", 0, 0, false}}},
		"unterminated":           {"ab\ncd", 9, []got{{"ab", 0, 0, false}, {"cd", 3, 0, false}}},
		"unterminated return":    {"ab\r", 9, []got{{"ab\r", 0, 0, false}}},
		"exactly the limit":      {"abcd\nabcd\r\n", 4, []got{{"abcd", 0, 0, false}, {"abcd", 5, 0, false}}},
		"one over":               {"abcde\nx\n", 4, []got{{"abcd", 0, 0, true}, {"e", 4, 0, false}, {"x", 6, 0, false}}},
		"one over with return":   {"abcde\r\n", 4, []got{{"abcd", 0, 0, true}, {"e", 4, 0, false}}},
		"thrice the limit": {"aaaabbbbcccc\n", 4,
			[]got{{"aaaa", 0, 0, true}, {"bbbb", 4, 0, true}, {"cccc", 8, 0, false}}},
		"unterminated and long": {"aaaabbbbc", 4, []got{{"aaaa", 0, 0, true}, {"bbbb", 4, 0, true}, {"c", 8, 0, false}}},
		"cut between characters": {"aaaäöü\n", 4,
			[]got{{"aaa", 0, 0, true}, {"äö", 3, 0, true}, {"ü", 7, 0, false}}},
		"no characters":       {strings.Repeat("\x80", 9) + "\n", 4, []got{{"\x80\x80\x80\x80", 0, 0, true}, {"\x80\x80\x80\x80", 4, 0, true}, {"\x80", 8, 0, false}}},
		"a few NULs are text": {"\x00a\x00\n", 9, []got{{"\x00a\x00", 0, 0, false}}},
		"a hole":              {"a\n" + zeros + "b\n", 9, []got{{"a", 0, 0, false}, {"b", 102, 0, false}}},
		"a hole at the end":   {"a\n" + zeros, 9, []got{{"a", 0, 0, false}}},
		"byte order marks":    {"\ufeffa\nb\ufeff\n\ufeff\nc\xef\n", 9, []got{{"a", 3, 0, false}, {"b\ufeff", 5, 0, false}, {"", 13, 0, false}, {"c\xef", 14, 0, false}}},
		"nothing but a mark":  {"\ufeff", 9, nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, cutAll(cut.NewLines(source, c.max), []byte(c.in)))
			for split := range len(c.in) {
				require.Equal(t, c.want, cutAll(cut.NewLines(source, c.max), []byte(c.in), split), "split at %d", split)
			}
			every := make([]int, len(c.in))
			for i := range every {
				every[i] = i
			}
			require.Equal(t, c.want, cutAll(cut.NewLines(source, c.max), []byte(c.in), every...), "byte by byte")
		})
	}
}

func TestLinesCountsHoles(t *testing.T) {
	l := cut.NewLines(source, 9)
	cutAll(l, []byte(strings.Repeat("\x00", 40)+"a\n"+strings.Repeat("\x00", 16)+"b\n"), 20)
	skipped, places := l.Skipped()
	require.EqualValues(t, 56, skipped)
	require.EqualValues(t, 2, places)
}

// Whatever the bytes and wherever they are split, what comes out is what goes in, but for newlines, returns and holes.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\nccccccccccc\n\x00d"), 3, 7)
	f.Add([]byte("\ufeffa\n\ufeffb\n"), 3, 7)
	f.Fuzz(func(t *testing.T, data []byte, x, y int) {
		n := len(data) + 1
		x, y = (x%n+n)%n, (y%n+n)%n
		one := cutAll(cut.NewLines(source, 8), data)
		three := cutAll(cut.NewLines(source, 8), data, min(x, y), max(x, y))
		require.Equal(t, fmt.Sprint(one), fmt.Sprint(three))
		clean := func(s string) string {
			return strings.NewReplacer("\r", "", "\n", "", "\x00", "", "\ufeff", "").Replace(s)
		}
		var all strings.Builder
		for _, r := range one {
			all.WriteString(r.Line)
			require.LessOrEqual(t, len(r.Line), 8)
		}
		require.Equal(t, clean(string(data)), clean(all.String()))
	})
}

func BenchmarkLines(b *testing.B) {
	data := bytes.Repeat([]byte(strings.Repeat("x", 199)+"\n"), 1000)
	batch := record.NewBatch(0)
	l := cut.NewLines(source, 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		l.Cut(batch, data, 0, 1, false)
	}
}
