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
	source := new(record.Source)
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
		split := rapid.IntRange(0, len(data)).Draw(t, "split")
		cut := func(usually bool) (all []record.Record, bytesSkipped, places int64) {
			c := NewCRI(source, bytes.NewReader(data), 24, int64(time.Second))
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
		want, wantSkipped, wantPlaces := cut(false)
		got, skipped, places := cut(true)
		require.Equal(t, want, got)
		require.Equal(t, [2]int64{wantSkipped, wantPlaces}, [2]int64{skipped, places})
	})
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
