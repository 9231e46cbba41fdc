// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// aMinute is records of a minute, ten a second, in turns of a tenth of a second, as a chain lets them pass.
func aMinute(c *Chain, src *record.Source, offset *int64) (passed []string) {
	for i := range 600 {
		b := batchOf(src, offset, fmt.Sprint(i))
		applyAll(c, b, 0, readAt+int64(i)*int64(time.Second)/10, false)
		passed = append(passed, texts(b)...)
	}
	return passed
}

// A stream returns to its checkpoint: what was within the limit the first time is the second time, in one turn, and takes
// no token that another stream has a right to.
func TestWhatIsReadAgainIsJudgedAsBefore(t *testing.T) {
	d := declare.Declaration{Name: "n", Filters: map[string]string{"rate_limit": "10", "sample": "2"}}
	src, rates := newSource(), new(Rates)
	open := func() *Chain {
		c, err := New(d, src, Options{Log: quiet, Rates: rates})
		require.NoError(t, err)
		return c
	}
	var v Verdicts
	c, offset := open(), int64(0)
	c.Resume(Judged{}, &v, readAt)
	first := aMinute(c, src, &offset)
	require.Len(t, first, 300)

	later := readAt + int64(time.Hour)
	for range 3 {
		again := open()
		again.Resume(Judged{}, &v, later)
		offset = 0
		b := batchOf(src, &offset, make([]string, 600)...)
		for i := range b.Records {
			b.Records[i].Line = fmt.Append(nil, i)
		}
		applyAll(again, b, 0, later, false)
		require.Equal(t, first, texts(b))
		c = again
	}
	require.Equal(t, int64(600), c.Judged().Sampled)

	other, at := open(), int64(0)
	b := batchOf(src, &at, make([]string, 40)...)
	applyAll(other, b, 0, later, false)
	require.Len(t, b.Records, 10, "the tokens of a second are there")

	// What was written meanwhile is within the limit of that time, and no more than that.
	b = batchOf(src, &offset, make([]string, 100_000)...)
	applyAll(c, b, 0, later, false)
	require.InDelta(t, 35_400, len(b.Records), 20) // an hour without its first minute
	v.CaughtUp(later)
	b = batchOf(src, &offset, make([]string, 1000)...)
	applyAll(c, b, 0, later+int64(time.Second), false)
	require.InDelta(t, 10, len(b.Records), 2)

	v.Forget(c.Judged().Limited)
	require.LessOrEqual(t, len(v.runs), 3)
}

// Records that were suppressed, and not told of, are told of when they are read again, as many as they were.
func TestWhatWasSuppressedIsToldOfWhenItIsReadAgain(t *testing.T) {
	src := newSource()
	open := func() *Chain {
		return newChain(t, declare.Declaration{Filters: map[string]string{"rate_limit": "2"}}, src)
	}
	var v Verdicts
	c, offset := open(), int64(0)
	c.Resume(Judged{}, &v, readAt)
	applyAll(c, batchOf(src, &offset, "a", "b", "c", "d", "e"), 0, readAt, false)
	at := c.Judged()
	require.Equal(t, Judged{Sampled: 0, Limited: 2, From: 20}, at)
	v.Forget(at.Limited)

	c, offset = open(), 0
	c.Resume(at, &v, readAt+int64(time.Minute))
	c.Replay(true)
	applyAll(c, batchOf(src, &offset, "a", "b", "c", "d", "e"), 0, readAt+int64(time.Minute), false)
	require.EqualValues(t, 20, c.Open())
	c.Replay(false)
	b := batchOf(src, &offset, "f")
	applyAll(c, b, 0, readAt+int64(2*time.Minute), false)
	require.Equal(t, []string{`20  "remora":"suppressed","records":3`, "50 f"}, texts(b))
}
