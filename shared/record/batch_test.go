package record_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

// What is claimed lies apart from what is read, wherever it is, and can be taken back.
func TestSpareMemory(t *testing.T) {
	b := record.NewBatch(100)
	copy(b.Free(), bytes.Repeat([]byte("r"), 40))
	read := b.Free()[:40]
	b.Keep(40)
	claim := func(n int, with string) []byte {
		p := b.Spare(n)
		require.Len(t, p, n)
		copy(p, bytes.Repeat([]byte(with), n))
		b.Claim(n)
		return p
	}
	first := claim(30, "1")
	require.Len(t, b.Free(), 30)
	require.Empty(t, b.Arena)
	before := b.Mark()
	b.Records = append(b.Records, record.Record{})
	second := claim(30, "2")
	require.Empty(t, b.Free())
	third := claim(10, "3")
	require.Len(t, b.Arena, 10)
	require.Equal(t, 40, b.Added(before))
	require.Equal(t, 110, b.Size())
	for with, p := range map[string][]byte{"r": read, "1": first, "2": second, "3": third} {
		require.Equal(t, string(bytes.Repeat([]byte(with), len(p))), string(p))
	}
	b.Back(before)
	require.Equal(t, 70, b.Size())
	require.Len(t, b.Free(), 30)
	require.Empty(t, b.Records)
	b.Keep(-40)
	require.Len(t, b.Free(), 70)
	b.Reset()
	require.Len(t, b.Free(), 100)
}
