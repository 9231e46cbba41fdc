// SPDX-License-Identifier: Apache-2.0

package format

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestMarksAreWhatTheBytesSay(t *testing.T) {
	if !wide {
		return // nothing uses marks
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]byte(`" aZ~`)), rapid.SampledFrom([]byte("\" aZ~\x7f\x80\xff\x1f\\\x00"))), 1, maxMarked).Draw(t, "p")
		var m marks
		clean := true
		got := markWide(&m, p)
		for i, c := range p {
			clean = clean && c >= ' ' && c < 0x80 && c != '\\'
			require.Equal(t, c == '"', m.quotes[i/64]>>(i%64)&1 == 1, "byte %d of %q", i, p)
			require.Equal(t, c == ' ', m.blanks[i/64]>>(i%64)&1 == 1, "byte %d of %q", i, p)
		}
		for i := len(p); i < (len(p)+63)/64*64; i++ {
			require.Zero(t, (m.quotes[i/64]|m.blanks[i/64])>>(i%64)&1, "bit %d behind %d bytes", i, len(p))
		}
		require.Equal(t, clean, got, "%q", p)
	})
}

// The bytes before and behind the line are not touched: the pages there may not be ours. Nor are words that the line does not need.
func TestMarkWideStaysInside(t *testing.T) {
	if !wide {
		return
	}
	page := unix.Getpagesize()
	m, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(m)) })
	require.NoError(t, unix.Mprotect(m[:page], unix.PROT_NONE))
	require.NoError(t, unix.Mprotect(m[2*page:], unix.PROT_NONE))
	text := m[page : 2*page]
	for i := range text {
		text[i] = 'x'
	}
	for size := 1; size <= maxMarked; size++ {
		var before, behind marks
		require.True(t, markWide(&before, text[:size]))
		for i := range behind.quotes {
			behind.quotes[i], behind.blanks[i] = 7, 7
		}
		require.True(t, markWide(&behind, text[page-size:]))
		for i := range behind.quotes {
			require.Equal(t, i*64 >= size, behind.quotes[i] == 7 && behind.blanks[i] == 7, "word %d of %d bytes", i, size)
		}
	}
}
