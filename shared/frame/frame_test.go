// SPDX-License-Identifier: Apache-2.0

package frame_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/frame"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

func TestAppend(t *testing.T) {
	want := framestest.Append(nil, framestest.Entry{Source: "stderr", TimeNano: 1700000000123456789, Line: []byte("a line\n")})
	require.Equal(t, want, frame.Append(nil, "stderr", 1700000000123456789, []byte("a line"), true))
	want = framestest.Append(nil, framestest.Entry{Source: "stdout", TimeNano: 1, Line: []byte("no end")})
	require.Equal(t, want, frame.Append(nil, "stdout", 1, []byte("no end"), false))
}

func TestLen(t *testing.T) {
	for _, c := range []struct {
		header []byte
		n      int
		ok     bool
	}{
		{[]byte{0, 0, 0, 1}, 1, true},
		{[]byte{0, 0x10, 0, 0}, frame.MaxLen, true},
		{[]byte{0, 0x10, 0, 1}, frame.MaxLen + 1, false},
		{[]byte{0, 0, 0, 0}, 0, false},
		{[]byte{0xff, 0xff, 0xff, 0xff}, 1<<32 - 1, false},
	} {
		n, ok := frame.Len(c.header)
		require.Equal(t, c.n, n)
		require.Equal(t, c.ok, ok)
	}
}
