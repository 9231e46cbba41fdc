// SPDX-License-Identifier: Apache-2.0

package cut_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/internal/logdriver"
	"github.com/remora-logs/remora/shared/record"
)

const second = int64(1e9)

// encode writes entries as the engine does, with the engine's own code.
func encode(entries ...logdriver.LogEntry) []byte {
	var b bytes.Buffer
	enc := logdriver.NewLogEntryEncoder(&b)
	for _, e := range entries {
		if err := enc.Encode(&e); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func line(source, text string) logdriver.LogEntry {
	return logdriver.LogEntry{Source: source, TimeNano: 5, Line: []byte(text)}
}

func piece(source, id, text string, last bool) logdriver.LogEntry {
	e := line(source, text)
	e.Partial, e.PartialLogMetadata = true, &logdriver.PartialLogEntryMetadata{Id: id, Last: last, Ordinal: 1}
	return e
}

func frames(data []byte) *cut.Frames {
	return cut.NewFrames(source, bytes.NewReader(data), 64, 5*second)
}

func lines(all []got) (texts []string) {
	for _, g := range all {
		texts = append(texts, g.Line)
	}
	return texts
}

func TestFramesOfEverySplit(t *testing.T) {
	data := encode(line("stdout", "one"), line("stderr", ""), piece("stdout", "x", "a", false),
		piece("stderr", "y", "1", false), piece("stdout", "x", "b", false), line("stderr", "between"),
		piece("stdout", "x", "c", true), line("stdout", "\x00\xff\n"))
	want := []string{"one", "", "1", "between", "abc", "\x00\xff\n"}
	all := cutAll(frames(data), data)
	require.Equal(t, want, lines(all))
	require.Equal(t, record.Stdout, all[0].Std)
	require.Equal(t, record.Stderr, all[3].Std)
	for split := range data {
		require.Equal(t, all, cutAll(frames(data), data, split), "split at %d", split)
	}
}

// A terminal ends lines with \r\n, of which the engine takes the \n away.
func TestATerminalsReturnIsNoPartOfARecord(t *testing.T) {
	long := strings.Repeat("x", 64)
	data := encode(line("stdout", "one\r"), line("stdout", "\r"), line("stdout", "50%\r100%\r\r"), line("stdout", long+"\r"),
		piece("stdout", "x", "a\r", false), piece("stdout", "x", "b\r", true), piece("stdout", "y", "c\r", false), piece("stdout", "y", "", true))
	want := []string{"one", "", "50%\r100%\r", long, "a\rb", "c"}
	require.Equal(t, want, lines(cutAll(frames(data), data)))
	for split := range data {
		require.Equal(t, want, lines(cutAll(frames(data), data, split)), "split at %d", split)
	}
}

func TestALongMessageIsOneRecordAndInterleavedStreamsStayApart(t *testing.T) {
	var entries []logdriver.LogEntry
	text := strings.Repeat("0123456789abcdef", 1024)
	for i := range 64 {
		entries = append(entries, piece("stdout", "a", text, i == 63), piece("stderr", "b", text[:100], i == 63))
	}
	data := encode(entries...)
	all := cutAll(cut.NewFrames(source, bytes.NewReader(data), 1<<20, second), data)
	require.Len(t, all, 2)
	require.Equal(t, got{strings.Repeat(text, 64), 0, record.Stdout, false}, all[0])
	require.Equal(t, strings.Repeat(text[:100], 64), all[1].Line)
	require.Equal(t, record.Stderr, all[1].Std)
}

func TestAMessageOverTheLimitIsCutAndNothingOfItLost(t *testing.T) {
	data := encode(piece("stdout", "a", strings.Repeat("a", 40), false),
		piece("stdout", "a", strings.Repeat("b", 40), false), piece("stdout", "a", strings.Repeat("c", 10), true),
		line("stdout", strings.Repeat("d", 100)))
	all := cutAll(frames(data), data)
	require.Equal(t, []string{strings.Repeat("a", 40), strings.Repeat("b", 40) + strings.Repeat("c", 10),
		strings.Repeat("d", 64), strings.Repeat("d", 36)}, lines(all))
	require.Equal(t, []bool{true, false, true, false},
		[]bool{all[0].Truncated, all[1].Truncated, all[2].Truncated, all[3].Truncated})
	offsets := map[int64]bool{}
	for _, g := range all {
		require.False(t, offsets[g.Offset], "two records have the same offset")
		offsets[g.Offset] = true
	}
}

// A long line whose writer pauses comes in pieces, all but the last marked; one at the end of its stream is not.
func TestAMessageThatPausesIsMarked(t *testing.T) {
	data := encode(piece("stdout", "a", "one ", false), piece("stdout", "a", "two", true), piece("stderr", "b", "last", false))
	first := len(encode(piece("stdout", "a", "one ", false)))
	f, b := frames(data), record.NewBatch(0)
	require.Equal(t, first, f.Cut(b, data[:first], 0, 1*second, false))
	f.Expire(b, 6*second)
	require.Equal(t, len(data)-first, f.Cut(b, data[first:], int64(first), 7*second, true))
	require.Len(t, b.Records, 3)
	for i, want := range []string{"one ", "two", "last"} {
		require.Equal(t, want, string(b.Records[i].Line))
		require.Equal(t, i == 0, b.Records[i].Truncated, want)
	}
}

func TestAMessageWhoseEndDoesNotCome(t *testing.T) {
	data := encode(piece("stdout", "a", "begun", false))
	f, b := frames(append(make([]byte, 100), data...)), record.NewBatch(0)
	require.Equal(t, len(data), f.Cut(b, data, 100, 1*second, false))
	require.EqualValues(t, 100, f.Open())
	f.Expire(b, 5*second)
	require.Empty(t, b.Records)
	f.Expire(b, 6*second)
	require.Len(t, b.Records, 1)
	require.Equal(t, "begun", string(b.Records[0].Line))
	require.EqualValues(t, -1, f.Open())

	other := encode(piece("stdout", "a", "begun", false), piece("stdout", "b", "another", true))
	require.Equal(t, []string{"begun", "another"}, lines(cutAll(frames(other), other)))
	plain := encode(piece("stdout", "a", "begun", false), line("stdout", "plain"))
	require.Equal(t, []string{"begun", "plain"}, lines(cutAll(frames(plain), plain)))
	old := line("stdout", "be")
	old.Partial = true
	data = encode(old, line("stdout", "gun"))
	require.Equal(t, []string{"begun"}, lines(cutAll(frames(data), data)))
}

func TestDamageCostsTheDamagedRecordAlone(t *testing.T) {
	head := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	good := encode(line("stdout", "before"))
	after := encode(line("stderr", "after"))
	for name, bad := range map[string][]byte{
		"a length of 4 GiB":       head(0xffffffff),
		"a length of 0":           head(0),
		"no protobuf":             append(head(9), "not proto"...),
		"half a frame":            encode(line("stdout", strings.Repeat("x", 50)))[:30],
		"a group (wire type 3)":   append(head(1), 3<<3|3),
		"a source of 1 GiB":       append(head(100), 0x0a, 0x80, 0x80, 0x80, 0x80, 0x04),
		"plausible, then rubbish": append(head(500), encode(line("stdout", "x"))[4:]...),
		"zeros":                   make([]byte, 5000),
	} {
		t.Run(name, func(t *testing.T) {
			data := append(append(bytes.Clone(good), bad...), after...)
			f := frames(data)
			all := cutAll(f, data)
			require.Equal(t, "before", all[0].Line)
			require.Equal(t, "after", all[len(all)-1].Line)
			skipped, places := f.Skipped()
			require.Positive(t, skipped)
			require.EqualValues(t, 1, places)
		})
	}
}

// A damaged length must not hold back what follows until that many bytes have come.
func TestADamagedLengthDoesNotStall(t *testing.T) {
	bad := encode(line("stdout", "damaged"))
	bad[1] = 0x0f // claims 983 KiB
	data := append(bad, encode(line("stdout", "a"), line("stdout", "b"))...)
	b := record.NewBatch(0)
	n := frames(data).Cut(b, data, 0, 1, false)
	require.Equal(t, len(data), n)
	require.Len(t, b.Records, 2)
}

// A stream whose long message is over costs no memory for it.
func TestAQuietStreamHoldsNoMemory(t *testing.T) {
	data := encode(piece("stdout", "x", strings.Repeat("a", 16<<10), false), piece("stdout", "x", strings.Repeat("b", 16<<10), true))
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 { // a pool is emptied by the second collection
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	cutters := make([]*cut.Frames, 1000)
	batch := record.NewBatch(1)
	before := heap()
	for i := range cutters {
		cutters[i] = cut.NewFrames(source, bytes.NewReader(data), 1<<20, 5*second)
		cutters[i].Cut(batch, data, 0, 1, false)
		require.Len(t, batch.Records, 1)
		batch.Reset()
	}
	batch.Arena = nil
	require.Less(t, heap(), before+uint64(len(cutters))*(2<<10))
	runtime.KeepAlive(cutters)
}

func TestEveryPrefix(t *testing.T) {
	entries := []logdriver.LogEntry{line("stdout", "one"), line("stderr", "two"), line("stdout", "three")}
	data := encode(entries...)
	for n := range data {
		var want []string
		for i, e := range entries {
			if n >= len(encode(entries[:i+1]...)) {
				want = append(want, string(e.Line))
			}
		}
		f := frames(data)
		require.Equal(t, want, lines(cutAll(f, data[:n])))
		skipped, _ := f.Skipped()
		require.EqualValues(t, n-len(encode(entries[:len(want)]...)), skipped)
	}
}

func TestRandomBitFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var entries []logdriver.LogEntry
		for range 20 {
			text := make([]byte, 20+rng.IntN(40))
			for i := range text {
				text[i] = byte('a' + rng.IntN(26))
			}
			entries = append(entries, line("stdout", string(text)))
		}
		data := encode(entries...)
		var ends []int // of each frame
		for _, e := range entries {
			ends = append(ends, len(encode(e)))
			if n := len(ends); n > 1 {
				ends[n-1] += ends[n-2]
			}
		}
		at := rng.IntN(len(data))
		data[at] ^= 1 << rng.IntN(8)
		damaged := 0
		for ends[damaged] <= at {
			damaged++
		}
		have := map[string]bool{}
		for _, text := range lines(cutAll(frames(data), data)) {
			have[text] = true
		}
		for i, e := range entries {
			if i != damaged {
				require.True(t, have[string(e.Line)], "record %d is gone, damaged was %d, at byte %d", i, damaged, at)
			}
		}
	}
}

// The decoder must agree with the engine's own on every entry that the engine's accepts as what an engine would write.
func FuzzFrames(f *testing.F) {
	f.Add(encode(line("stdout", "x"), piece("stderr", "i", "y", true))[4:])
	f.Fuzz(func(t *testing.T, p []byte) {
		data := append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
		c := cut.NewFrames(source, bytes.NewReader(data), 1<<20, second)
		all := cutAll(c, data)
		var want logdriver.LogEntry
		if want.Unmarshal(p) != nil || len(p) == 0 || want.Partial {
			return
		}
		if skipped, _ := c.Skipped(); skipped > 0 {
			return // stricter than the engine's, for instance with groups
		}
		require.Len(t, all, 1)
		require.Equal(t, string(want.Line), all[0].Line)
		if want.Source == "stdout" || want.Source == "stderr" {
			require.Equal(t, want.Source, all[0].Std.String())
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	var entries []logdriver.LogEntry
	for range 1000 {
		e := line("stdout", strings.Repeat("x", 190))
		e.TimeNano = 1_700_000_000_123_456_789
		entries = append(entries, e)
	}
	data := encode(entries...)
	batch := record.NewBatch(0)
	f := cut.NewFrames(source, bytes.NewReader(data), 1<<20, second)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		f.Cut(batch, data, 0, 1, false)
	}
}
