// SPDX-License-Identifier: Apache-2.0

package timefmt

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ref is when the lines of these tests are read.
var ref = time.Date(2024, 3, 5, 6, 7, 8, 0, time.UTC).UnixNano()

func TestParse(t *testing.T) {
	for _, c := range []struct{ layout, zone, text, want string }{
		{"%d/%b/%Y:%H:%M:%S %z", "", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"},
		{"%Y-%m-%dT%H:%M:%S.%L%z", "", "2024-02-29T23:59:59.123+08:00", "2024-02-29T15:59:59.123Z"},
		{"%Y-%m-%dT%H:%M:%S.%L%z", "", "2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"},
		{"%Y-%m-%d %H:%M:%S,%f", "Asia/Shanghai", "2024-01-02 03:04:05,000007", "2024-01-01T19:04:05.000007Z"},
		{"%Y-%m-%d %H:%M:%S", "+05:30", "2024-01-02 03:04:05.25", "2024-01-01T21:34:05.25Z"},
		{"%FT%T.%9N%:z", "", "2024-01-02T03:04:05.123456789-00:30", "2024-01-02T03:34:05.123456789Z"},
		{"%Y%m%d%H%M%S%3N", "", "20240102030405678", "2024-01-02T03:04:05.678Z"},
		{"%D %r", "", "12/31/99 12:00:01 AM", "1999-12-31T00:00:01Z"},
		{"%c", "", "Wed Oct  1 14:32:52 2014", "2014-10-01T14:32:52Z"},
		{"%a %b %d %H:%M:%S.%f %Y", "", "Fri Sep 09 10:42:29.902022 2011", "2011-09-09T10:42:29.902022Z"},
		{"%A, %d %B %Y %k:%M %p", "", "Friday, 1 March 2024 5:06 PM", "2024-03-01T17:06:00Z"},
		{"%Y.%j", "", "2024.060", "2024-02-29T00:00:00Z"},
		{"%s", "", "1700000000", "2023-11-14T22:13:20Z"},
		{"%Q", "", "1700000000123", "2023-11-14T22:13:20.123Z"},
		{"%s.%L", "", "1700000000.5", "2023-11-14T22:13:20.5Z"},
		{"%b %d %H:%M:%S", "", "Mar  5 06:00:00", "2024-03-05T06:00:00Z"},
		{"%b %d %H:%M:%S", "", "Dec 31 23:59:59", "2023-12-31T23:59:59Z"},
		{"%b %d", "", "Feb 29", "2024-02-29T00:00:00Z"},
		{"%H:%M:%S", "", "05:00:00", "2024-03-05T05:00:00Z"},
		{"%H:%M:%S", "", "23:00:00", "2024-03-04T23:00:00Z"},
		{"%Y %Z", "", "2024 EST", "2024-01-01T05:00:00Z"},
		{"%Y %Z", "Asia/Shanghai", "2024 CST", "2023-12-31T16:00:00Z"},
		{"%Y %Z", "Asia/Shanghai", "2024 UTC", "2024-01-01T00:00:00Z"},
		{"%Y-%m-%d%%%n%H", "", "2024-01-02%   7", "2024-01-02T07:00:00Z"},
		{"%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2024-07-01 12:00:00", "2024-07-01T10:00:00Z"},
		{"%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27T00:30:00Z"}, // shown twice: the first
		{"%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2024-03-31 02:30:00", "2024-03-31T01:30:00Z"}, // never shown
		{"%Y-%m-%d %H:%M:%S", "", "2016-12-31 23:59:60", "2017-01-01T00:00:00Z"},
		{time.RFC1123Z, "", "Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T22:04:05Z"},
		{time.ANSIC, "", "Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"},
		{time.RFC850, "", "Monday, 02-Jan-06 15:04:05 GMT", "2006-01-02T15:04:05Z"},
		{time.StampMicro, "", "Mar  1 15:04:05.000123", "2024-03-01T15:04:05.000123Z"},
		{"2006/1/2 3:04:05 pm", "", "2024/12/1 1:02:03 PM", "2024-12-01T13:02:03Z"},
		{"2006-01-02 15:04:05,000", "", "2024-01-02 03:04:05,678", "2024-01-02T03:04:05.678Z"},
		{"rfc3339", "", "2024-01-02T03:04:05.000000001Z", "2024-01-02T03:04:05.000000001Z"},
		{"RFC3339", "", "2024-01-02 03:04:05+0800", "2024-01-01T19:04:05Z"},
		{"rfc3339", "Asia/Tokyo", "2024-01-02T03:04:05,5", "2024-01-01T18:04:05.5Z"},
		{"unix", "", "1700000000.123456789", "2023-11-14T22:13:20.123456789Z"},
		{"unix", "", "-1.5", "1969-12-31T23:59:58.5Z"},
		{"unix", "", "1.7e9", "2023-11-14T22:13:20Z"},
		{"unix", "", "1.700000000123456789e9", "2023-11-14T22:13:20.123456789Z"},
		{"", "", "1.700000000123456789E+09", "2023-11-14T22:13:20.123456789Z"},
		{"", "", "17000000001234e-4", "2023-11-14T22:13:20.1234Z"},
		{"unix_ms", "", "1.7000000001235e12", "2023-11-14T22:13:20.1235Z"},
		{"", "", "2024-02-03", "2024-02-03T00:00:00Z"},
		{"", "+08:00", "2024/02/03 04:05:06.5", "2024-02-02T20:05:06.5Z"},
		{"", "", "20240203T040506Z", "2024-02-03T04:05:06Z"},
		{"", "", "2024-02-03T04:05Z", "2024-02-03T04:05:00Z"},
		{"", "", "2024-02-03 04:05:06.123456789 +0800 CST m=+0.000012", "2024-02-02T20:05:06.123456789Z"},
		{"", "", "2024-02-03 04:05:06 +0000 UTC", "2024-02-03T04:05:06Z"},
		{"", "", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"},
		{"", "", "Sat, 03 Feb 2024 04:05:06 GMT", "2024-02-03T04:05:06Z"},
		{"", "", "Sat Feb  3 04:05:06 2024", "2024-02-03T04:05:06Z"},
		{"", "", "Feb  3 04:05:06", "2024-02-03T04:05:06Z"},
		{"%iso8601", "", "2024-02-03T04:05:06+08:00", "2024-02-02T20:05:06Z"},
		{"%d %b %Y %H:%M", "", "3 Sept 2023 04:05", "2023-09-03T04:05:00Z"},
		{"%d %b %Y %H:%M", "", "3 September 2023 04:05", "2023-09-03T04:05:00Z"},
		{"%F %T %Z", "", "2024-02-03 04:05:06 GMT+8", "2024-02-02T20:05:06Z"},
		{"%F %T %z", "", "2024-02-03 04:05:06 UTC-03:30", "2024-02-03T07:35:06Z"},
		// A year that is left out, and a day: clocks and zones differ.
		{"%b %d %H:%M:%S", "", "Mar  6 05:00:00", "2024-03-06T05:00:00Z"},
		{"%b %d %H:%M:%S", "", "Mar  6 07:00:00", "2023-03-06T07:00:00Z"},
		{"%H:%M:%S", "", "18:00:00", "2024-03-05T18:00:00Z"},
		{"%H:%M:%S", "", "18:10:00", "2024-03-04T18:10:00Z"},
		{"unix_ms", "", "1700000000123.25", "2023-11-14T22:13:20.12325Z"},
		{"unix_us", "", "1700000000123456", "2023-11-14T22:13:20.123456Z"},
		{"unix_ns", "", "1700000000123456789", "2023-11-14T22:13:20.123456789Z"},
		{"", "", " 2024-01-02T03:04:05Z ", "2024-01-02T03:04:05Z"},
		{"", "", "1700000000.25", "2023-11-14T22:13:20.25Z"},
		{"", "", "1700000000123", "2023-11-14T22:13:20.123Z"},
		{"", "", "1700000000123456", "2023-11-14T22:13:20.123456Z"},
		{"", "", "1700000000123456789", "2023-11-14T22:13:20.123456789Z"},
	} {
		p, err := New(c.layout, c.zone)
		require.NoError(t, err, c.layout)
		for range 2 { // the second time it is remembered, or not
			ns, ok := p.Parse([]byte(c.text), ref)
			if assert.True(t, ok, "%s: %s", c.layout, c.text) {
				assert.Equal(t, c.want, time.Unix(0, ns).UTC().Format(time.RFC3339Nano), "%s: %s", c.layout, c.text)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ layout, text string }{
		{"%Y-%m-%d", "2024-02-30"}, {"%Y-%m-%d", "2023-02-29"}, {"%Y-%m-%d", "2024-13-01"}, {"%Y-%m-%d", "2024-00-01"},
		{"%Y-%m-%d", "2024-01-01x"}, {"%Y-%m-%d", "2024-01"}, {"%Y-%m-%d", ""}, {"%Y-%m-%d", "1600-01-01"},
		{"%Y-%m-%d", "2300-01-01"}, {"%H:%M", "24:00"}, {"%I %p", "13 PM"}, {"%Y.%j", "2023.366"}, {"%Y %b", "2024 Foo"},
		{"unix", "1700000000x"}, {"unix", ""}, {"unix", "-"}, {"unix", "1e400"}, {"unix", "99999999999999999999"},
		{"unix", "0x10"}, {"unix", "1e"}, {"unix_ms", "NaN"}, {"rfc3339", "2024-01-02"}, {"rfc3339", "2024-01-02T03:04:05+"},
		{"rfc3339", "2024-01-02T03:04:61Z"}, {"rfc3339", "2024-01-02T03:04:05Zjunk"}, {"", "yesterday"}, {"%Q", "x"},
		{"%Y %z", "2024 +"}, {"%Y %z", "2024 +2501"}, {"%H:%M:%S.%L%z", "12"},
	} {
		p, err := New(c.layout, "")
		require.NoError(t, err, c.layout)
		_, ok := p.Parse([]byte(c.text), ref)
		assert.False(t, ok, "%s: %q", c.layout, c.text)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct{ layout, zone, message string }{
		{"%Y-%i", "", "%i"}, {"%Y-%", "", "ends within"}, {"%z", "", "no part of a time"}, {"yyyy-MM-dd", "", "no part of a time"},
		{"%Y", "Mars/Olympus", "Mars/Olympus"}, {"%Y", "+8x", "+8x"}, {"%G-%V", "", "%G"},
	} {
		_, err := New(c.layout, c.zone)
		assert.ErrorContains(t, err, c.message)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	for layout, text := range map[string]string{
		"%d/%b/%Y:%H:%M:%S %z": "10/Oct/2000:13:55:%02d -0700", "rfc3339": "2024-01-02T03:04:%02dZ", "unix_ms": "17000000001%02d",
		time.ANSIC: "Mon Jan  2 15:04:%02d 2006", "%Y-%m-%d %H:%M:%S": "2024-01-02 03:04:%02d",
	} {
		p, err := New(layout, "Asia/Shanghai")
		require.NoError(t, err)
		texts := [2][]byte{fmt.Appendf(nil, text, 1), fmt.Appendf(nil, text, 2)}
		i := 0
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			i++
			if _, ok := p.Parse(texts[i%2], ref); !ok {
				panic(layout)
			}
		}), layout)
	}
}

// What package time writes with a layout is read to the same instant, down to what the layout shows.
func FuzzGoLayout(f *testing.F) {
	layouts := []string{time.ANSIC, time.UnixDate, time.RFC822Z, time.RFC850, time.RFC1123, time.RFC3339Nano, time.DateTime,
		time.StampNano + " 2006", "02/Jan/2006:15:04:05 -0700", "2006-002", "060102 .000", "Monday, January _2 2006 3:4:5 pm",
		"2006-01-02T15:04:05.999Z07:00:00"}
	for i := range layouts {
		f.Add(i, ref)
		f.Add(i, ref-1)
	}
	f.Fuzz(func(t *testing.T, i int, ns int64) {
		layout := layouts[uint(i)%uint(len(layouts))]
		text := time.Unix(0, ns).UTC().Format(layout)
		want, err := time.Parse(layout, text)
		if err != nil || want.Year() < 1679 || want.Year() > 2261 {
			return
		}
		p, err := New(layout, "")
		require.NoError(t, err)
		got, ok := p.Parse([]byte(text), ref)
		require.True(t, ok, "%q: %q", layout, text)
		require.Equal(t, want.UnixNano(), got, "%q: %q", layout, text)
	})
}

// No layout and no text panics, and what was parsed once is parsed to the same again.
func FuzzParse(f *testing.F) {
	f.Add("%Y-%m-%dT%H:%M:%S.%L%z", "Asia/Shanghai", "2024-02-29T23:59:59.123+08:00", ref)
	f.Add("%b %e %I:%M:%S %p", "", "Feb 29 12:00:00 PM", int64(-1))
	f.Add("%s.%N", "Local", "-1.5", int64(0))
	f.Add("", "", "1.7e9", ref)
	f.Fuzz(func(t *testing.T, layout, zone, text string, ref int64) {
		p, err := New(layout, zone)
		if err != nil {
			return
		}
		ns, ok := p.Parse([]byte(text), ref)
		again, okAgain := p.Parse([]byte(text), ref)
		require.Equal(t, ok, okAgain)
		require.Equal(t, ns, again)
	})
}

func BenchmarkParse(b *testing.B) {
	for layout, text := range map[string]string{
		"%d/%b/%Y:%H:%M:%S %z": "10/Oct/2000:13:55:%02d -0700", "rfc3339": "2024-01-02T03:04:%02d.123456Z", "unix_ms": "17000000001%02d",
		time.ANSIC: "Mon Jan  2 15:04:%02d 2006", "%Y-%m-%d %H:%M:%S": "2024-01-02 03:04:%02d",
	} {
		b.Run(layout, func(b *testing.B) {
			p, _ := New(layout, "")
			texts := [2][]byte{fmt.Appendf(nil, text, 1), fmt.Appendf(nil, text, 2)}
			b.ReportAllocs()
			for i := range b.N {
				p.Parse(texts[i%2], ref)
			}
		})
	}
}

// New Year and midnight, seen from both sides.
func TestTimesWithoutAYearOrADay(t *testing.T) {
	for _, c := range []struct{ ref, layout, text, want string }{
		{"2026-12-31T20:00:00Z", "%b %d %H:%M:%S", "Jan  1 04:00:00", "2027-01-01T04:00:00Z"},
		{"2027-01-01T00:10:00Z", "%b %d %H:%M:%S", "Dec 31 23:59:59", "2026-12-31T23:59:59Z"},
		{"2026-11-21T08:00:00Z", "%b %d %H:%M:%S", "Mar 10 00:00:00", "2026-03-10T00:00:00Z"},
		{"2027-03-01T08:00:00Z", "%b %d", "Feb 29", "2024-02-29T00:00:00Z"},
		{"2026-11-21T23:59:00Z", "%H:%M:%S", "00:00:30", "2026-11-22T00:00:30Z"},
		{"2026-11-21T00:01:00Z", "%H:%M:%S", "23:59:30", "2026-11-20T23:59:30Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.ref)
		require.NoError(t, err)
		p, err := New(c.layout, "")
		require.NoError(t, err)
		ns, ok := p.Parse([]byte(c.text), at.UnixNano())
		require.True(t, ok, c.text)
		assert.Equal(t, c.want, time.Unix(0, ns).UTC().Format(time.RFC3339), "%s at %s", c.text, c.ref)
	}
}

// A number that may be anything is no date.
func TestNewDate(t *testing.T) {
	p, err := NewDate("")
	require.NoError(t, err)
	for text, want := range map[string]bool{"0.123": false, "12": false, "-1700000000": false, "1700000000": true, "1700000000123": true, "2024-02-03 04:05:06": true, "": false, "now": false, "999999999": false} {
		_, ok := p.Parse([]byte(text), ref)
		assert.Equal(t, want, ok, text)
	}
}
