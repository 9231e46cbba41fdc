// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
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
		p := b.Reserve(n)
		require.Len(t, p, n)
		copy(p, bytes.Repeat([]byte(with), n))
		b.Commit(n)
		return p
	}
	first := claim(30, "1")
	require.Len(t, b.Free(), 30)
	require.Empty(t, b.Arena)
	before := b.Savepoint()
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
	b.Rollback(before)
	require.Equal(t, 70, b.Size())
	require.Len(t, b.Free(), 30)
	require.Empty(t, b.Records)
	b.Keep(-40)
	require.Len(t, b.Free(), 70)
	b.Reset()
	require.Len(t, b.Free(), 100)
}

// A batch that rests takes up no memory, and can be filled again.
func TestRest(t *testing.T) {
	const size = 64 << 20
	b := record.NewBatch(size)
	fill := func() {
		copy(b.Free(), bytes.Repeat([]byte("r"), size))
		b.Keep(size)
	}
	fill()
	before := resident(t)
	b.ReleaseMemory()
	require.Less(t, resident(t), before-size/1024*9/10)
	require.Len(t, b.Free(), size)
	fill()
	require.Equal(t, size, b.Size())
	record.NewBatch(10).ReleaseMemory() // less than a page
}

// resident is how many KiB of memory this process has that are no file's.
func resident(t *testing.T) (kib int) {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	_, err = fmt.Sscan(rest, &kib)
	require.NoError(t, err)
	return kib
}
