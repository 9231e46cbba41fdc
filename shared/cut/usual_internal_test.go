// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/record"
)

// What usual makes of a file is what the decoder and the joiner make of it, whatever the bytes are.
func TestUsualLinesAreAsTheDecoderHasThem(t *testing.T) {
	zones := []*time.Location{time.UTC, time.FixedZone("", 8*3600), time.FixedZone("", -11*3600-1800)}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		at := time.Date(2026, 2, 28, 23, 59, 58, 0, time.UTC)
		for range rapid.IntRange(1, 30).Draw(t, "lines") {
			at = at.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "later")))
			at = at.Truncate(rapid.SampledFrom([]time.Duration{1, 10, 1e3, 1e6, 1e9}).Draw(t, "decimals"))
			data = at.In(rapid.SampledFrom(zones).Draw(t, "zone")).AppendFormat(data, time.RFC3339Nano)
			data = append(data, rapid.SampledFrom([]string{" stdout F ", " stderr F ", " stdout P ", " stderr P:x ", " stdout F", " stdxxx F "}).Draw(t, "flags")...)
			data = append(data, rapid.SampledFrom([]string{"", "a line", "\r", "ends so\r", "\x00", "ü 你", "longer than a record has room for it"}).Draw(t, "text")...)
			data = append(data, '\n')
		}
		for range rapid.IntRange(0, 3).Draw(t, "damages") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "damage")
		}
		sameAsDecoder(t, data, func() *pieces { return &NewCRI(source, bytes.NewReader(data), 24, int64(time.Second)).pieces })
	})
}

// The same for json-file, with its escapes, attributes, and times.
func TestUsualObjectsAreAsTheDecoderHasThem(t *testing.T) {
	texts := []string{"", "a line", `\n`, `\\`, `\\\n`, `\"GET / HTTP/1.1\" 200`, `\u003ca href=\"x\"\u003e and more`, `\u00e9\ud83d\ude00`, `\ud83d`, `\u12`, `\q`,
		"\r", `\r`, `ends so\r`, `\r\r`, `\t\b\f\/`, "\x00", "\x1f", "ü 你", "\xff\xfe", "longer than a record has room for it", `longer, and with \"quotes\"`, `","stream":"stdout","time":"2026-01-01T00:00:00.123456789Z"}`}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		at := time.Date(2026, 2, 28, 23, 59, 58, 0, time.UTC)
		for range rapid.IntRange(1, 30).Draw(t, "lines") {
			at = at.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "later")))
			at = at.Truncate(rapid.SampledFrom([]time.Duration{1, 1, 10, 1e3, 1e6, 1e9}).Draw(t, "decimals"))
			data = append(data, `{"log":"`...)
			for range rapid.IntRange(1, 3).Draw(t, "texts") {
				data = append(data, rapid.SampledFrom(texts).Draw(t, "text")...)
			}
			data = append(data, rapid.SampledFrom([]string{`\n`, `\n`, `\n`, `\n`, `\\n`, ``, `"`}).Draw(t, "newline")...)
			data = append(data, rapid.SampledFrom([]string{`","stream":"stdout","time":"`, `","stream":"stdout","time":"`, `","stream":"stderr","time":"`,
				`","stream":"stdxxx","time":"`, `","stream":"stdout","attrs":{"a":"b"},"time":"`, `","time":"`, `","stream":"stdout","xxxx":"`}).Draw(t, "stream")...)
			data = at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.UTC, time.UTC, time.FixedZone("", 8*3600)}).Draw(t, "zone")).AppendFormat(data, time.RFC3339Nano)
			data = append(data, "\"}\n"...)
		}
		for range rapid.IntRange(0, 3).Draw(t, "damages") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "damage")
		}
		sameAsDecoder(t, data, func() *pieces { return &NewJSONFile(source, bytes.NewReader(data), 24, int64(time.Second)).pieces })
		sameAsDecoder(t, data, func() *pieces { return &NewCRI(source, bytes.NewReader(data), 24, int64(time.Second)).pieces })
	})
}

func FuzzUsualObjects(f *testing.F) {
	f.Add([]byte(`{"log":"a \"line\" \u003c\n","stream":"stdout","time":"2026-01-01T00:00:00.123456789Z"}` + "\n" + `{"log":"b\n","stream":"stderr","time":"2026-01-01T00:00:00.12345Z"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cut := func(usually bool) []record.Record {
			records, _, _ := cutOnce(&NewJSONFile(source, bytes.NewReader(data), 24, int64(time.Second)).pieces, data, len(data), usually)
			return records
		}
		require.Equal(t, cut(false), cut(true))
	})
}

var source = new(record.Source)

// sameAsDecoder wants the same records of data, split anywhere, whether the cutter that made makes reads what is usual by itself
// or leaves all to its decoder.
func sameAsDecoder(t *rapid.T, data []byte, made func() *pieces) {
	split := rapid.IntRange(0, len(data)).Draw(t, "split")
	want, wantSkipped, wantPlaces := cutOnce(made(), data, split, false)
	got, skipped, places := cutOnce(made(), data, split, true)
	require.Equal(t, want, got)
	require.Equal(t, [2]int64{wantSkipped, wantPlaces}, [2]int64{skipped, places})
}

// cutOnce cuts data in two pieces.
func cutOnce(c *pieces, data []byte, split int, usually bool) (all []record.Record, bytesSkipped, places int64) {
	if !usually {
		c.usual = nil
	}
	b := record.NewBatch(0)
	n := c.Cut(b, bytes.Clone(data[:split]), 0, 1, false)
	c.Cut(b, bytes.Clone(data[n:]), int64(n), 1, true)
	for _, r := range b.Records {
		r.Line = bytes.Clone(r.Line)
		all = append(all, r)
	}
	bytesSkipped, places = c.Skipped()
	return all, bytesSkipped, places
}

func FuzzClock(f *testing.F) {
	for _, s := range []string{"2026-02-28T23:59:59.123456789Z", "2024-02-29T00:00:00.1+08:00", "1970-01-01T00:00:00.12345678-11:30"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var c clock
		for _, s := range []string{a, b, a} {
			nano, n := c.read([]byte(s + " stdout F x"))
			if n == 0 {
				continue
			}
			want, ok := parseTime([]byte(s + " stdout F x")[:n])
			require.True(t, ok, s)
			require.Equal(t, want, nano, s)
		}
	})
}
