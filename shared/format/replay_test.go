// SPDX-License-Identifier: Apache-2.0

package format

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
)

// A process that dies at any line and begins again at what was Open then, throwing away what comes out up to that line,
// delivers what one delivers that lives on: each record once, with the same offset and the same lines.
func TestReplayFromOpenGivesTheSameRecords(t *testing.T) {
	for _, options := range []map[string]string{
		{"start": "^a"}, {"end": "z$"}, {"continue": `^\+`}, {"start": "^a", "end": "z$"}, {"start": "^a", "continue": `^\+`},
		{"preset": "java"}, {"preset": "python"}, {"preset": "go"}, {"preset": "ruby"}, {"preset": "php"}, {"preset": "js"}, {"preset": "rust"}, {"preset": "dart"}, {"preset": "dotnet"}, {"preset": "auto"},
	} {
		pieces := []string{"a", "b", "+c", "z", "!a", "!b", "!+c", "!z", "\tat x", "!\tat x", "Traceback (most recent call last):", "E: x", "", "!panic: x",
			"!", "!goroutine 1 [running]:", "\tfrom a:1:in `b'", "#0 x", "!Traceback (most recent call last):", "!  File x", "!E: y", "2026-11-21 07:41:07 x", "    at f (/a.js:1:2) {", "}", "info: X[0]", "      y", "thread 'a' panicked at b, c"}
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 0))
			lines := make([]string, 40)
			for i := range lines {
				lines[i] = pieces[random.IntN(len(pieces))]
			}
			d, src := declare.Declaration{Multiline: options}, newSource()
			// deliver runs lines[from:to] through chain, up to n at a time.
			deliver := func(chain *Chain, from, to int) (out []string) {
				for from < to {
					n, offset := min(1+random.IntN(5), to-from), int64(from)*10
					b := batchOf(src, &offset, lines[from:from+n]...)
					applyAll(chain, b, 0, readAt, from+n == len(lines))
					out, from = append(out, texts(b)...), from+n
				}
				return out
			}
			want := deliver(newChain(t, d, src), 0, len(lines))

			first, died := newChain(t, d, src), 1+random.IntN(len(lines)-1)
			got := deliver(first, 0, died)
			low := died
			if at := first.Open(); at >= 0 {
				low = int(at / 10)
			}
			second := newChain(t, d, src)
			deliver(second, low, died)
			got = append(got, deliver(second, died, len(lines))...)
			require.Equal(t, want, got, "%v seed %d died %d low %d %q", options, seed, died, low, lines)
		}
	}
}
