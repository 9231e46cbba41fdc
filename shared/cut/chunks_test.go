// SPDX-License-Identifier: Apache-2.0

package cut_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

// chunked is a container's output: chunks of both streams.
type chunked struct {
	data   []byte
	starts []int64
	chunks []stream.Chunk
	ended  int64 // where lines are ended
	err    error
}

func (c *chunked) write(std stream.Std, time int64, text string) {
	c.starts = append(c.starts, int64(len(c.data)))
	c.chunks = append(c.chunks, stream.Chunk{Std: std, Time: time})
	c.data = append(c.data, text...)
}

func (c *chunked) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(c.data).ReadAt(p, off)
}

func (c *chunked) Chunk(off int64) (stream.Chunk, error) {
	if c.err != nil {
		return stream.Chunk{}, c.err
	}
	i := len(c.starts) - 1
	for c.starts[i] > off {
		i--
	}
	found := c.chunks[i]
	found.End = math.MaxInt64
	if i+1 < len(c.starts) {
		found.End = c.starts[i+1]
	}
	if off < c.ended && c.ended <= found.End {
		found.End, found.EndsLine = c.ended, true
	}
	return found, nil
}

// A line of one stream lies in several chunks, with others of the other stream between them.
func TestChunksAreJoinedPerStream(t *testing.T) {
	c := &chunked{}
	c.write(stream.Stdout, 10, "one\ntw")
	c.write(stream.Stderr, 11, "err")
	c.write(stream.Stdout, 12, "o\nthree\n\n")
	c.write(stream.Stderr, 13, "or\r\nlast words")
	b := record.NewBatch(1 << 16)
	f := cut.NewChunks(source, c, 1<<10, second)
	require.Equal(t, len(c.data), f.Cut(b, c.data, 0, 99, true))
	type got struct {
		line string
		std  record.Std
		time int64
	}
	var all []got
	for _, r := range b.Records {
		require.False(t, r.Truncated)
		all = append(all, got{string(r.Line), r.Std, r.Time})
	}
	require.Equal(t, []got{{"one", record.Stdout, 10}, {"two", record.Stdout, 10}, {"three", record.Stdout, 12},
		{"", record.Stdout, 12}, {"error", record.Stderr, 11}, {"last words", record.Stderr, 13}}, all)
	require.EqualValues(t, -1, f.Open())
}

// Lines of both streams without a newline are ended where the index says so, whether they were read before it did or not.
// What comes behind is a line of its own, and nothing comes twice.
func TestChunksThatEndALine(t *testing.T) {
	for _, late := range []bool{false, true} {
		c := &chunked{}
		c.write(stream.Stdout, 10, "one\nout")
		c.write(stream.Stderr, 11, "two\nerr")
		b := record.NewBatch(1 << 16)
		f := cut.NewChunks(source, c, 1<<10, second)
		at := 0
		give := func() { at += f.Cut(b, c.data[at:], int64(at), 99, false) }
		lines := func() (all []string) {
			for _, r := range b.Records {
				require.False(t, r.Truncated)
				all = append(all, string(r.Line))
			}
			return all
		}
		if late {
			give()
			require.Equal(t, []string{"one", "two"}, lines())
		}
		c.ended = int64(len(c.data))
		give()
		require.Equal(t, len(c.data), at)
		require.Equal(t, []string{"one", "two", "out", "err"}, lines())
		require.EqualValues(t, 3+1, b.Records[2].Offset)
		require.EqualValues(t, -1, f.Open())
		give()
		c.write(stream.Stdout, 12, "more\n")
		give()
		require.Equal(t, []string{"one", "two", "out", "err", "more"}, lines())
		require.Equal(t, len(c.data), at)

		// All of the last line was read; that it has ended is said only then.
		c.write(stream.Stdout, 13, "half")
		c.write(stream.Stderr, 14, "whole\n")
		give()
		require.Equal(t, "whole", lines()[5])
		c.ended = int64(len(c.data))
		give()
		require.Equal(t, "half", lines()[6])
		require.Len(t, b.Records, 7)
	}
}

// However the bytes come in, the same records are made of them, at the same offsets, and no byte of a line is lost.
func TestChunksAreCutTheSameHoweverTheyCome(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		c := &chunked{}
		var want [3]strings.Builder
		for i := range 30 {
			std := stream.Std(1 + rng.IntN(2))
			text := strings.Repeat(string(rune('a'+i%26)), rng.IntN(40))
			if rng.IntN(3) > 0 {
				text += "\n"
			}
			if text == "" {
				continue
			}
			c.write(std, int64(i), text)
			want[std].WriteString(text)
		}
		whole := cutChunks(t, c, func() int { return len(c.data) })
		parts := cutChunks(t, c, func() int { return 1 + rng.IntN(20) })
		require.Equal(t, whole, parts)
		var text [3]strings.Builder
		for _, r := range whole {
			require.LessOrEqual(t, len(r.Line), 32)
			text[r.Std].WriteString(string(r.Line))
			if !r.Truncated {
				text[r.Std].WriteByte('\n')
			}
		}
		for std := 1; std <= 2; std++ {
			require.Equal(t, strings.TrimSuffix(want[std].String(), "\n"), strings.TrimSuffix(text[std].String(), "\n"))
		}
	}
}

// cutChunks gives the cutter as many more bytes each time as more says.
func cutChunks(t *testing.T, c *chunked, more func() int) (all []record.Record) {
	t.Helper()
	f := cut.NewChunks(source, c, 32, second)
	given, at := 0, 0
	for at < len(c.data) {
		given = min(given+more(), len(c.data))
		b := record.NewBatch(1 << 16)
		at += f.Cut(b, c.data[at:given], int64(at), 1, given == len(c.data))
		require.NoError(t, f.Err())
		for _, r := range b.Records {
			r.Line = bytes.Clone(r.Line)
			all = append(all, r)
		}
	}
	return all
}

// An index that can't be read now costs time, not lines.
func TestChunksWithoutTheirIndex(t *testing.T) {
	c := &chunked{err: errors.New("input/output error")}
	c.write(stream.Stdout, 1, "a line\n")
	f, b := cut.NewChunks(source, c, 32, second), record.NewBatch(1<<10)
	require.Zero(t, f.Cut(b, c.data, 0, 1, true))
	require.ErrorContains(t, f.Err(), "input/output error")
	c.err = nil
	require.Equal(t, len(c.data), f.Cut(b, c.data, 0, 1, true))
	require.Len(t, b.Records, 1)
}
