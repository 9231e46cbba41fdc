// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// valid is what AppendBytes makes of p: each byte that is not part of valid UTF-8 is U+FFFD.
func valid(p []byte) string {
	var b strings.Builder
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		b.WriteRune(r)
		p = p[size:]
	}
	return b.String()
}

func TestAppendBytesEveryByteEverywhere(t *testing.T) {
	for c := range 256 {
		for length := 1; length < 20; length++ {
			for at := range length {
				p := bytes.Repeat([]byte{'x'}, length)
				p[at] = byte(c)
				var got string
				require.NoError(t, json.Unmarshal(AppendBytes(nil, p), &got), "%q", p)
				require.Equal(t, valid(p), got)
			}
		}
	}
}

func TestAppendBytesKeepsWhatWasThere(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 100} {
		dst := append(make([]byte, 0, size), "before:"...)
		got := AppendBytes(dst, bytes.Repeat([]byte{0}, 1000))
		assert.Equal(t, `before:"`+strings.Repeat(`\u0000`, 1000)+`"`, string(got))
	}
}

func TestAppendBytesWritesNothingBehindItsResult(t *testing.T) {
	// The memory behind the result is dst's own, but a caller that keeps a slice of its beginning must find it unchanged.
	dst := []byte("0123456789abcdef")
	AppendBytes(dst[:4:4], []byte("overwrite?"))
	assert.Equal(t, "0123456789abcdef", string(dst))
}

func TestAppendTime(t *testing.T) {
	var e Encoder
	check := func(ns int64) {
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z")
		require.Equal(t, want, string(e.AppendTime(nil, ns)))
	}
	for _, ns := range []int64{0, -1, 1, 999999999, -999999999, -1e9, math.MaxInt64, math.MinInt64, 1795246867123456789} {
		check(ns)
	}
	for ns := int64(1); ns < 1e9; ns = ns*3 + 7 {
		check(ns)
		check(1795246867e9 + 1e9 - ns)
	}
	for ns := int64(0); ns < 1e9; ns += 9973 {
		check(ns)
	}
}

// What an encoder remembers of the records before shows in none.
func TestAppendRecordAfterAnyOther(t *testing.T) {
	sources := []*Source{
		NewSource("s", "n", "stdout", "t", []Tag{{"a", "b"}}, nil), NewSource("s", "n", "stdout", "t", nil, nil).Shaped(Shape{StdLine: "log", Time: true}),
	}
	rapid.Check(t, func(t *rapid.T) {
		var enc Encoder
		base := rapid.SampledFrom([]int64{0, 1700000000e9, math.MinInt64, math.MaxInt64}).Draw(t, "base")
		for range rapid.IntRange(1, 20).Draw(t, "records") {
			at := base + rapid.SampledFrom([]int64{0, 1, 999_999_999, 1e9, -1, -1e9, rapid.Int64Range(-3e9, 3e9).Draw(t, "near")}).Draw(t, "time")
			if rapid.IntRange(0, 3).Draw(t, "alone") == 0 {
				enc.AppendTime(nil, at)
				continue
			}
			r := Record{Source: rapid.SampledFrom(sources).Draw(t, "source"), Time: at, Std: Std(rapid.IntRange(0, 2).Draw(t, "std"))}
			if rapid.Bool().Draw(t, "line") {
				r.Line = []byte("x")
			}
			require.Equal(t, string(new(Encoder).AppendRecord(nil, &r)), string(enc.AppendRecord(nil, &r)))
		}
	})
}

func TestAppendRecordAllocatesNothing(t *testing.T) {
	src := NewSource("s", "n", "stdout", "t", []Tag{{"a", "b"}}, nil)
	dst := make([]byte, 0, 4096)
	var enc Encoder
	for name, text := range texts {
		r := Record{Line: text, Source: src, Time: 1700000000e9}
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			r.Time += 1e9
			dst = enc.AppendRecord(dst[:0], &r)
		}), name)
	}
}

func FuzzAppendBytes(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Add([]byte("\xed\xa0\x80\xf4\x90\x80\x80\xc0\x80\u2028\U0010ffff\xe1\x80"))
	f.Fuzz(func(t *testing.T, p []byte) {
		out := AppendBytes(nil, p)
		require.True(t, json.Valid(out))
		require.True(t, utf8.Valid(out))
		var got string
		require.NoError(t, json.Unmarshal(out, &got))
		require.Equal(t, valid(p), got)
		require.Equal(t, got, string(AppendText(nil, out)))
	})
}

func TestJSONSizeIsNearEnoughToMakeRoomBy(t *testing.T) {
	src := NewSource("s", "access", "/var/log/nginx/access.log", "access", []Tag{{"team", "shop"}, {"k8s_pod", "web-1"}}, nil)
	records := []Record{
		{Line: []byte(`10.1.0.7 - - [21/Nov/2026:08:00:00 +0000] "GET /cart HTTP/1.1" 200 512 "-" "curl/8.5.0"`), Offset: 1 << 20},
		{Fields: []byte(`"method":"GET","path":"/cart","status":200,"bytes":512`), Offset: 1 << 30},
		{Line: []byte("panic: no such cart"), Fields: []byte(`"level":"error"`), Std: Stderr},
	}
	actual := 0
	for i := range records {
		records[i].Source, records[i].Time = src, 1763712000_123456789
		actual += len(new(Encoder).AppendRecord(nil, &records[i]))
	}
	require.InEpsilon(t, actual, JSONSize(records), 0.15)
}
