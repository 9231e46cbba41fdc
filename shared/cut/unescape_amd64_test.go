// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// portable is appendUsual without unescapeWide.
func portable(text []byte) []byte {
	defer func(was bool) { wide = was }(wide)
	wide = false
	_, text = appendUsual(nil, text)
	return text
}

// The portable way is the oracle, and the decoder's that of both. On a processor that can't run unescapeWide the first two are the
// same.
func TestWideUnescapesAsPortable(t *testing.T) {
	same := func(t require.TestingT, text []byte) {
		_, got := appendUsual(nil, text)
		require.Equal(t, portable(text), got, "%q", text)
		if got != nil {
			require.Equal(t, string(appendUnescaped(nil, text)), string(got), "%q", text)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, alphabet := range []string{"a", `"`, `\`, `a"\`, `a\\\"`, "abcdefgh\\\"", "a\\u003c", "ab\x00\x1f\x7f\x80\xff", "abc订单\\n"} {
		for size := range 200 {
			p := make([]byte, size)
			for i := range p {
				p[i] = alphabet[random.IntN(len(alphabet))]
			}
			same(t, p)
		}
	}
	for size := range 200 { // one thing that is different, at each place
		for at := range size {
			for _, c := range []string{`"`, `\`, `\"`, `\\`, `\\"`, `\n`, `\u0041`, "\x00", "\x1f", " ", "\x7f", "\x80", "\xff"} {
				p := bytes.Repeat([]byte("a"), size)
				copy(p[at:], c)
				same(t, p)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		same(t, rapid.SliceOf(rapid.SampledFrom([]byte(`ab\\"n"u0041`+"\x1f\xe4"))).Draw(t, "p"))
		same(t, bytes.Join(rapid.SliceOf(rapid.SampledFrom([][]byte{[]byte("abc"), []byte(`\"`), []byte(`\\`), []byte(`\t`), []byte(`\u003e`)})).Draw(t, "texts"), nil))
	})
}

// Neither the bytes around the text nor those behind the room are touched: the pages there may not be ours.
func TestWideStaysInside(t *testing.T) {
	page := unix.Getpagesize()
	guarded := func() []byte { // a page between two that nobody may read or write
		m, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, unix.Munmap(m)) })
		require.NoError(t, unix.Mprotect(m[:page], unix.PROT_NONE))
		require.NoError(t, unix.Mprotect(m[2*page:], unix.PROT_NONE))
		return m[page : 2*page : 2*page]
	}
	texts, room := guarded(), guarded()
	for _, pattern := range []string{`abcdefgh\"`, `\"`, "a", `\`} {
		for i := range texts {
			texts[i] = pattern[i%len(pattern)]
		}
		for size := range 200 {
			for _, text := range [][]byte{texts[page-size:], texts[:size:size]} {
				_, got := appendUsual(room[page-size-slack:page-size-slack:page], text) // what it needs, and not a byte more
				require.Equal(t, portable(text), got)
				for free := 0; wide && free <= 300; free += 7 {
					read, written := unescapeWide(room[page-free:], text)
					require.LessOrEqual(t, read, size)
					require.LessOrEqual(t, written, min(free, read))
				}
			}
		}
	}
}
