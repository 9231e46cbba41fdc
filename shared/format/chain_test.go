// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

func TestNewIsNilWhereThereIsNothingToDo(t *testing.T) {
	for _, d := range []declare.Declaration{
		{}, {Format: "none"}, {Format: "none", Multiline: map[string]string{"max_lines": "3"}},
	} {
		c, err := New(d, newSource(), Options{Log: quiet})
		require.NoError(t, err)
		assert.Nil(t, c)
	}
}

func TestNewNamesTheKey(t *testing.T) {
	type options = map[string]string
	for want, d := range map[string]declare.Declaration{
		"format: ":            {Format: "xml"},
		"format.keep_message": {Format: "json", FormatOptions: options{"keep_message": "maybe"}},
		"format.time_format":  {Format: "json", FormatOptions: options{"time_key": "a", "time_format": "%i"}},
		"format.time_zone":    {Format: "apache_error", FormatOptions: options{"time_zone": "Mars"}},
		"format.keys":         {Format: "csv"},
		"format.keys: two":    {Format: "csv", FormatOptions: options{"keys": "a,a"}},
		"format.time_key":     {Format: "csv", FormatOptions: options{"keys": "a", "time_key": "b"}},
		"format.pattern":      {Format: "regexp", FormatOptions: options{"pattern": "("}},
		"format.pattern: reg": {Format: "regexp"},
		"multiline.start":     {Multiline: options{"start": "("}},
		"multiline.preset":    {Multiline: options{"preset": "cobol"}},
		"keep":                {Filters: options{"keep": "("}},
		"mask":                {Filters: options{"mask": "iban"}},
	} {
		_, err := New(d, newSource(), Options{Log: quiet})
		assert.ErrorContains(t, err, want)
	}
}

// batchOf makes a batch of lines, those with ! before them of stderr. The first is at *offset, the others 10 bytes apart.
func batchOf(src *record.Source, offset *int64, lines ...string) *record.Batch {
	b := record.NewBatch(0)
	for _, line := range lines {
		r := record.Record{Line: []byte(line), Source: src, Time: readAt + *offset, Offset: *offset, Std: record.Stdout}
		if text, ok := strings.CutPrefix(line, "!"); ok {
			r.Line, r.Std = []byte(text), record.Stderr
		}
		*offset += 10
		b.Records = append(b.Records, r)
	}
	return b
}

// texts are the records of b: offset and line, with ! for stderr, | for a line break, … for what was cut, and the fields of
// markers.
func texts(b *record.Batch) []string {
	var out []string
	for _, r := range b.Records {
		text := fmt.Sprintf("%d %s", r.Offset, strings.ReplaceAll(string(r.Line), "\n", "|"))
		if r.Std == record.Stderr {
			text = "!" + text
		}
		if r.Truncated {
			text += " …"
		}
		if r.Marker {
			text += " " + string(r.Fields)
		}
		out = append(out, text)
	}
	return out
}

func TestMultilineExpressions(t *testing.T) {
	for _, c := range []struct {
		options string
		lines   string
		want    string
	}{
		{"start=^a", "x a1 b a2 b c a3", "0 x / 10 a1|b / 30 a2|b|c / 60 a3"},
		{"end=;$", "a b; c; d e", "0 a|b; / 20 c; / 30 d|e"},
		{"continue=^\\+", "a +b +c d e +f", "0 a|+b|+c / 30 d / 40 e|+f"},
		{"continue=^\\+", "+a +b", "0 +a|+b"},
		{"start=^<,end=>$", "x < a > y <b> < c", "0 x / 10 <|a|> / 40 y / 50 <b> / 60 <|c"},
		{"start=^<,continue=^\\+", "x +y < +a b", "0 x / 10 +y / 20 <|+a / 40 b"},
		{"continue=^\\+,end=;$", "a +b; +c d", "0 a|+b; / 20 +c / 30 d"},
		{"start=^a,max_lines=2", "a b c d e a", "0 a|b … / 20 c|d … / 40 e / 50 a"},
		{"start=^a,max_bytes=4", "a bb c dddddd a", "0 a|bb … / 20 c … / 30 dddddd / 40 a"},
		{"start=^a", "a !a b !b a !c", "0 a|b / !10 a|b|c / 40 a"},
		{"preset=indent", "a -b -c d", "0 a| b| c / 30 d"},
	} {
		options := map[string]string{}
		for _, o := range strings.Split(c.options, ",") {
			key, value, _ := strings.Cut(o, "=")
			options[key] = value
		}
		lines := strings.Fields(c.lines)
		for i := range lines {
			if strings.HasPrefix(lines[i], "-") {
				lines[i] = " " + lines[i][1:]
			}
		}
		// However the lines are split into batches, the same comes out.
		for split := 1; split <= len(lines); split++ {
			src, offset := newSource(), int64(0)
			chain := newChain(t, declare.Declaration{Multiline: options}, src)
			var got []string
			for at := 0; at < len(lines); at += split {
				end := min(at+split, len(lines))
				b := batchOf(src, &offset, lines[at:end]...)
				in := slices.Clone(b.Records)
				applyAll(chain, b, 0, readAt, end == len(lines))
				got = append(got, texts(b)...)
				for _, r := range in { // what the chain holds is not in the batch
					clear(r.Line)
				}
			}
			assert.Equal(t, strings.Split(c.want, " / "), got, "%s by %d", c.options, split)
			assert.EqualValues(t, -1, chain.Open())
		}
	}
}

func TestOpenIsTheOldestHeldLine(t *testing.T) {
	src, offset := newSource(), int64(100)
	chain := newChain(t, declare.Declaration{Multiline: map[string]string{"start": "^a", "timeout": "2s"}}, src)
	assert.EqualValues(t, -1, chain.Open())
	b := batchOf(src, &offset, "!a", "a", "b")
	applyAll(chain, b, 0, readAt, false)
	assert.Empty(t, b.Records)
	assert.EqualValues(t, 100, chain.Open())
	b = batchOf(src, &offset, "!a")
	applyAll(chain, b, 0, readAt+int64(time.Second), false)
	assert.Equal(t, []string{"!100 a"}, texts(b))
	assert.EqualValues(t, 110, chain.Open())

	b = record.NewBatch(0)
	chain.Expire(b, readAt+int64(2*time.Second)-1)
	assert.Empty(t, b.Records)
	chain.Expire(b, readAt+int64(2*time.Second))
	assert.Equal(t, []string{"110 a|b"}, texts(b))
	assert.Equal(t, readAt+110, b.Records[0].Time)
	assert.EqualValues(t, 130, chain.Open())
	applyAll(chain, b, 1, readAt, true)
	assert.Equal(t, []string{"110 a|b", "!130 a"}, texts(b))
	assert.EqualValues(t, -1, chain.Open())
}

func TestRecordsBeforeFromAndMarkersAreLeftAlone(t *testing.T) {
	src, offset := newSource(), int64(0)
	chain := newChain(t, declare.Declaration{Filters: map[string]string{"drop": "x"}}, src)
	b := batchOf(src, &offset, "x", "x", "y", "x")
	b.Records[3].Marker = true
	applyAll(chain, b, 1, readAt, false)
	assert.Equal(t, []string{"0 x", "20 y", "30 x "}, texts(b))
	assert.Equal(t, Counts{Filtered: 1}, chain.Counts())
}

func TestRateLimitTellsWhatItSuppressed(t *testing.T) {
	src, offset := newSource(), int64(0)
	chain := newChain(t, declare.Declaration{Filters: map[string]string{"rate_limit": "2"}}, src)
	b := batchOf(src, &offset, "a", "b", "c", "d")
	applyAll(chain, b, 0, readAt, false)
	assert.Equal(t, []string{"0 a", "10 b"}, texts(b))
	assert.EqualValues(t, 20, chain.Open())

	b = batchOf(src, &offset, "e", "f") // half a second fills in one token
	applyAll(chain, b, 0, readAt+int64(time.Second)/2, false)
	assert.Equal(t, []string{"40 e"}, texts(b))
	b = batchOf(src, &offset, "g")
	applyAll(chain, b, 0, readAt+int64(time.Second), false)
	assert.Equal(t, []string{`20  "remora":"suppressed","records":3`, "60 g"}, texts(b))
	assert.EqualValues(t, -1, chain.Open())

	b = batchOf(src, &offset, "h", "i")
	applyAll(chain, b, 0, readAt+int64(time.Second), false)
	assert.Empty(t, b.Records)
	chain.Expire(b, readAt+int64(2*time.Second)-1)
	assert.Empty(t, b.Records)
	chain.Expire(b, readAt+int64(2*time.Second))
	assert.Equal(t, []string{`70  "remora":"suppressed","records":2`}, texts(b))

	b = batchOf(src, &offset, "j", "k", "l")
	applyAll(chain, b, 0, readAt+int64(2*time.Second), true)
	assert.Equal(t, []string{"90 j", "100 k", `110  "remora":"suppressed","records":1`}, texts(b))
	assert.EqualValues(t, -1, chain.Open())
	assert.EqualValues(t, 6, chain.Counts().Filtered)
}

func TestSampleKeepsOneInN(t *testing.T) {
	src, offset := newSource(), int64(0)
	chain := newChain(t, declare.Declaration{Filters: map[string]string{"sample": "3"}}, src)
	var got []string
	for range 3 {
		b := batchOf(src, &offset, "a", "b")
		applyAll(chain, b, 0, readAt, false)
		got = append(got, texts(b)...)
	}
	assert.Equal(t, []string{"0 a", "30 b"}, got)
}
