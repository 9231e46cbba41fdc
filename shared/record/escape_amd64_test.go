// SPDX-License-Identifier: Apache-2.0

package record

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// portable is AppendBytes without escapeWide.
func portable(dst, p []byte) []byte {
	defer func(was bool) { wide = was }(wide)
	wide = false
	return AppendBytes(dst, p)
}

// The portable way is the oracle. On a processor that can't run escapeWide both are the same.
func TestWideEscapesAsPortable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, alphabet := range []string{"a", `"`, `\`, `ab"\`, "abcdefghijklmnop\"", "abc\"\\\n", "ab\x00\x1f\x7f\x80\xff", "abc订单\""} {
		for size := range 200 {
			p := make([]byte, size)
			for i := range p {
				p[i] = alphabet[random.IntN(len(alphabet))]
			}
			require.Equal(t, string(portable([]byte("x"), p)), string(AppendBytes([]byte("x"), p)), "%q", p)
		}
	}
	for size := range 130 { // one byte that is different, at each place
		for at := range size {
			for _, c := range []byte{'"', '\\', 0, 0x1f, 0x20, 0x7f, 0x80, 0xff} {
				p := []byte(strings.Repeat("a", size))
				p[at] = c
				require.Equal(t, string(portable(nil, p)), string(AppendBytes(nil, p)), "%q", p)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.ByteRange(' ', '~'), rapid.ByteRange('!', '#'))).Draw(t, "p")
		dst := make([]byte, 0, rapid.IntRange(0, 300).Draw(t, "room"))
		require.Equal(t, string(portable(nil, p)), string(AppendBytes(dst, p)))
	})
}

// Neither the bytes behind the text nor those behind the room are touched: the pages there may not be ours.
func TestWideStaysInside(t *testing.T) {
	if !wide {
		return // nothing else than Go's own bounds holds the portable way
	}
	page := unix.Getpagesize()
	guarded := func() []byte { // a page with one behind it that nobody may read or write
		m, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, unix.Munmap(m)) })
		require.NoError(t, unix.Mprotect(m[page:], unix.PROT_NONE))
		return m[:page:page]
	}
	text, room := guarded(), guarded()
	for i := range text {
		text[i] = `abcdefgh"`[i%9]
	}
	for size := range 200 {
		for free := 0; free <= 500; free += 7 {
			read, written := escapeWide(room[page-free:], text[page-size:])
			require.LessOrEqual(t, read, size)
			require.LessOrEqual(t, written, free)
			require.True(t, read == size || free < 2*size+64, "%d of %d bytes read with room for %d", read, size, free)
		}
	}
}
