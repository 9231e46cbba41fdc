// SPDX-License-Identifier: Apache-2.0

package gunzip

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// growing is a file that a test appends to. read counts the bytes that were read from it.
type growing struct {
	data []byte
	read int64
}

func (g *growing) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(g.data).ReadAt(p, off)
	g.read += int64(n)
	return n, err
}

func (g *growing) Close() error { return nil }

func packed(t testing.TB, text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, errors.Join(err, z.Close()))
	return b.Bytes()
}

func lines(from, n int) string {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(uint64(from), 1))
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "line %d %x\n", i, rng.Uint64())
	}
	return b.String()
}

// readAll reads from off to where nothing follows.
func readAll(t testing.TB, r *Reader, off int64) (string, error) {
	var b strings.Builder
	buf := make([]byte, 7000)
	for {
		n, err := r.ReadAt(buf, off+int64(b.Len()))
		b.Write(buf[:n])
		if err != nil {
			return b.String(), err
		}
		require.NotZero(t, n)
	}
}

func TestReadsToTheSoundEnd(t *testing.T) {
	text := lines(0, 200_000) // several windows
	for name, after := range map[string][]byte{"alone": nil, "zeros": make([]byte, 10_000), "one zero": {0}} {
		t.Run(name, func(t *testing.T) {
			f := &growing{data: append(packed(t, text), after...)}
			r, err := New(f, int64(len(f.data)))
			require.NoError(t, err)
			got, err := readAll(t, r, 0)
			require.ErrorIs(t, err, io.EOF)
			require.True(t, got == text)
			require.Equal(t, Progress{int64(len(text)), int64(len(f.data) - len(after)), true}, r.Progress())
		})
	}
}

func TestMembersAreAppended(t *testing.T) {
	f := &growing{}
	var want strings.Builder
	var r *Reader
	var at int64
	for i := range 20 {
		f.data = append(f.data, packed(t, lines(i*5000, 5000))...)
		want.WriteString(lines(i*5000, 5000))
		if r == nil {
			var err error
			r, err = New(f, int64(len(f.data)))
			require.NoError(t, err)
		}
		r.Grow(int64(len(f.data)))
		got, err := readAll(t, r, at)
		require.ErrorIs(t, err, io.EOF)
		require.True(t, got == want.String()[at:])
		at += int64(len(got))
	}
	require.Less(t, f.read, int64(3*len(f.data)), "a member that was appended is read without those before it")
}

func TestEndsWithinAMember(t *testing.T) {
	text := lines(0, 30_000)
	whole := packed(t, text)
	for cut := len(whole) - 1; cut > headerSize; cut -= len(whole) / 97 {
		f := &growing{data: whole[:cut]}
		r, err := New(f, int64(cut))
		require.NoError(t, err)
		before, err := readAll(t, r, 0)
		require.ErrorIs(t, err, ErrTorn)
		require.True(t, strings.HasPrefix(text, before))
		again, err := readAll(t, r, int64(len(before)))
		require.ErrorIs(t, err, ErrTorn)
		require.Zero(t, len(again), "cut at %d of %d", cut, len(whole))
		f.data = whole
		r.Grow(int64(len(whole)))
		r.Settle()
		after, err := readAll(t, r, int64(len(before)))
		require.ErrorIs(t, err, io.EOF)
		require.True(t, before+after == text, "cut at %d", cut)
	}
}

// A file that is read while it is written, in small pieces, must not be expanded from its beginning for each piece.
func TestGrowsWithinAMember(t *testing.T) {
	text := lines(0, 100_000)
	whole := packed(t, text)
	f := &growing{data: whole[:100]}
	r, err := New(f, 100)
	require.NoError(t, err)
	var got strings.Builder
	for at := 100; at < len(whole); at += 1000 {
		f.data = whole[:at]
		r.Grow(int64(at))
		more, err := readAll(t, r, int64(got.Len()))
		require.ErrorIs(t, err, ErrTorn)
		got.WriteString(more)
	}
	f.data = whole
	r.Grow(int64(len(whole)))
	r.Settle()
	more, err := readAll(t, r, int64(got.Len()))
	require.ErrorIs(t, err, io.EOF)
	require.True(t, got.String()+more == text)
	require.Less(t, f.read, int64(10*len(whole)))
}

func TestDamaged(t *testing.T) {
	whole := packed(t, lines(0, 30_000))
	damaged := bytes.Clone(whole)
	copy(damaged[len(damaged)/2:], "damaged")
	garbage := append(bytes.Clone(whole), "not compressed"...)
	for name, data := range map[string][]byte{"damaged": damaged, "followed by garbage": garbage} {
		t.Run(name, func(t *testing.T) {
			r, err := New(&growing{data: data}, int64(len(data)))
			require.NoError(t, err)
			got, err := readAll(t, r, 0)
			require.NotErrorIs(t, err, ErrTorn)
			require.NotErrorIs(t, err, io.EOF)
			_, again := readAll(t, r, int64(len(got)))
			require.Equal(t, err, again)
		})
	}
	for _, data := range []string{"", "plain text that is long enough", "\x1f\x8b\x08"} {
		_, err := New(&growing{data: []byte(data)}, int64(len(data)))
		require.ErrorIs(t, err, ErrFormat)
	}
}

func TestReadersAtSeveralOffsets(t *testing.T) {
	text := lines(0, 60_000)
	f := &growing{data: packed(t, text)}
	r, err := New(f, int64(len(f.data)))
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 100)
	for range 20 {
		off := rng.Int64N(int64(len(text) - len(buf)))
		n, err := r.ReadAt(buf, off)
		require.NoError(t, err)
		require.Equal(t, text[off:][:n], string(buf[:n]))
	}
}

// Two readers further apart than a window, each of which returns to the beginning of a line that its last read did not end, use
// a decoder each.
func TestReadersFarApartExpandOnce(t *testing.T) {
	text := lines(0, 200_000)
	f := &growing{data: packed(t, text)}
	r, err := New(f, int64(len(f.data)))
	require.NoError(t, err)
	buf := make([]byte, 64<<10)
	const apart, back = maxWindow + 1<<20, 100
	for off := int64(0); off+apart+int64(len(buf)) <= int64(len(text)); off += int64(len(buf)) - back {
		for _, at := range []int64{off + apart, off} {
			_, err := r.ReadAt(buf, at)
			require.NoError(t, err)
			require.Equal(t, text[at:][:len(buf)], string(buf))
		}
	}
	require.LessOrEqual(t, f.read, 2*int64(len(f.data)))
}
