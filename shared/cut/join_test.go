// SPDX-License-Identifier: Apache-2.0

package cut_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/internal/logdriver"
	"github.com/remora-logs/remora/shared/record"
)

// pieceSize is that of the engine's pieces (moby daemon/logger/copier.go, defaultBufSize).
const pieceSize = 16 << 10

// endless is a message of n pieces whose last one is still to come.
func endless(n int) []byte {
	text := strings.Repeat("x", pieceSize)
	var entries []logdriver.LogEntry
	for range n {
		entries = append(entries, piece("stdout", "a", text, false))
	}
	return encode(entries...)
}

// Five hundred containers, each a piece away from the end of a line of 1 MiB, cost little more than if they were silent.
func TestMessagesUnderWayHoldNoMemory(t *testing.T) {
	const streams, most = 500, 256 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	data := endless(63)
	b := record.NewBatch(1)
	cutters := make([]*cut.Frames, streams)
	for i := range cutters {
		cutters[i] = cut.NewFrames(source, bytes.NewReader(data), 1<<20, 5*second)
	}
	before := heap()
	for _, c := range cutters {
		require.Equal(t, len(data), c.Cut(b, data, 0, 1, false))
		require.Empty(t, b.Records)
		require.Zero(t, c.Open())
	}
	held := int64(heap() - before)
	t.Logf("%d bytes a message", held/streams)
	require.Less(t, held, int64(most))

	c := cutters[0]
	c.Expire(b, 10*second)
	require.NoError(t, c.Err())
	require.Len(t, b.Records, 1)
	require.Equal(t, 63*pieceSize, len(b.Records[0].Line))
	runtime.KeepAlive(cutters)
}

// broken is a stream that can't be read while err is set.
type broken struct {
	io.ReaderAt
	err error
}

func (s *broken) ReadAt(p []byte, off int64) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.ReaderAt.ReadAt(p[:min(len(p), 7)], off) // a little at a time
}

// Whatever ends a message, nothing of it is lost and nothing comes twice where its pieces can't be read at that moment.
func TestPiecesThatCannotBeReadNow(t *testing.T) {
	begun := []logdriver.LogEntry{line("stdout", "before"), piece("stdout", "a", "one ", false),
		line("stderr", "between"), piece("stdout", "a", "two ", false)}
	for name, c := range map[string]struct {
		end  []logdriver.LogEntry
		want []string
	}{
		"its last piece":     {[]logdriver.LogEntry{piece("stdout", "a", "three", true)}, []string{"one two three"}},
		"a whole line":       {[]logdriver.LogEntry{line("stdout", "whole")}, []string{"one two ", "whole"}},
		"another message":    {[]logdriver.LogEntry{piece("stdout", "b", "other", true)}, []string{"one two ", "other"}},
		"the limit":          {[]logdriver.LogEntry{piece("stdout", "a", strings.Repeat("x", 60), true)}, []string{"one two ", strings.Repeat("x", 60)}},
		"the stream's end":   {nil, []string{"one two "}},
		"more than a record": {[]logdriver.LogEntry{piece("stdout", "a", strings.Repeat("x", 70), true)}, []string{"one two ", strings.Repeat("x", 64), "xxxxxx"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := encode(append(begun, c.end...)...)
			s := &broken{bytes.NewReader(data), errors.New("input/output error")}
			f, b := cut.NewFrames(source, s, 64, 5*second), record.NewBatch(0)
			n := f.Cut(b, data, 0, 1, true)
			require.ErrorContains(t, f.Err(), "input/output error")
			require.EqualValues(t, len(encode(begun[0])), f.Open())
			again := f.Cut(b, data[n:], int64(n), 1, true)
			require.Zero(t, again)
			require.Error(t, f.Err())
			s.err = nil
			f.Cut(b, data[n:], int64(n), 1, true)
			require.NoError(t, f.Err())
			require.EqualValues(t, -1, f.Open())
			var got []string
			for _, r := range b.Records {
				got = append(got, string(r.Line))
			}
			require.Equal(t, append([]string{"before", "between"}, c.want...), got)
		})
	}
}

// What the disk has changed between two reads is counted, and what is left of the message is delivered.
func TestPiecesThatHaveChanged(t *testing.T) {
	data := encode(piece("stdout", "a", "one ", false), piece("stdout", "a", "two ", false))
	f, b := frames(data), record.NewBatch(0)
	f.Cut(b, bytes.Clone(data), 0, 1, false)
	second := len(data) / 2
	data[second] = 0xff
	f.Cut(b, nil, int64(len(data)), 1, true)
	require.NoError(t, f.Err())
	require.Len(t, b.Records, 1)
	require.Equal(t, "one ", string(b.Records[0].Line))
	skipped, places := f.Skipped()
	require.EqualValues(t, len(data)-second, skipped)
	require.EqualValues(t, 1, places)
}

// Each bit of a stream with messages in pieces, flipped alone: the lines of which no frame was damaged come as they were.
func TestEveryBitFlippedAmongPieces(t *testing.T) {
	const damagedAtMost = 2 // records that a frame can belong to: its own, and one that it breaks in two
	entries := []logdriver.LogEntry{piece("stdout", "z", "be", false), piece("stdout", "z", "gun", true),
		line("stderr", "early"), line("stdout", "plain"), piece("stdout", "x", "a line so ", false), line("stderr", "between 1"),
		piece("stdout", "x", "long that it ", false), line("stderr", "between 2"), piece("stdout", "x", "comes in pieces", true),
		line("stdout", "after"), line("stderr", "last of stderr"), line("stdout", "last of stdout")}
	message := []int{0, 0, 1, 2, 3, 4, 3, 5, 3, 6, 7, 8} // which line an entry is, or is a piece of
	want := []string{"begun", "early", "plain", "a line so long that it comes in pieces", "between 1", "between 2", "after",
		"last of stderr", "last of stdout"}
	data := encode(entries...)
	at := 0
	for i, e := range entries {
		size := len(encode(e))
		for bit := range size * 8 {
			data[at+bit/8] ^= 1 << (bit % 8)
			have := map[string]bool{}
			all := lines(cutAll(frames(data), data))
			for _, text := range all {
				have[text] = true
			}
			for n, text := range want {
				require.True(t, n == message[i] || have[text], "bit %d of entry %d: %q is lost: %q", bit, i, text, all)
			}
			require.LessOrEqual(t, len(all), len(want)+damagedAtMost)
			data[at+bit/8] ^= 1 << (bit % 8)
		}
		at += size
	}
}

func BenchmarkLongMessages(b *testing.B) {
	data := append(endless(63), encode(piece("stdout", "a", strings.Repeat("x", pieceSize), true))...)
	batch := record.NewBatch(4 << 20)
	f := cut.NewFrames(source, bytes.NewReader(data), 1<<20, second)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		f.Cut(batch, data, 0, 1, false)
	}
}
