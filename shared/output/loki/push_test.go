// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/record"
)

// entry is what Loki gets of a record.
type entry struct {
	labels, line, id string
	time             int64
}

// parts takes a protobuf message apart: field to what has a length in it, and numbers as text.
func parts(p []byte) map[uint64][]string {
	fields := map[uint64][]string{}
	for len(p) > 0 {
		tag, n := binary.Uvarint(p)
		number, k := binary.Uvarint(p[n:])
		p = p[n+k:]
		if tag&7 == 0 {
			fields[tag>>3] = append(fields[tag>>3], fmt.Sprint(number))
			continue
		}
		fields[tag>>3] = append(fields[tag>>3], string(p[:number]))
		p = p[number:]
	}
	return fields
}

func entries(body []byte) (all []entry) {
	raw, err := s2.Decode(nil, body)
	if err != nil {
		panic(err)
	}
	for _, stream := range parts(raw)[1] {
		s := parts([]byte(stream))
		for _, text := range s[2] {
			e := parts([]byte(text))
			got := entry{labels: s[1][0], line: e[2][0]}
			at := parts([]byte(e[1][0]))
			var seconds, nanos int64
			_, _ = fmt.Sscan(at[1][0], &seconds)
			_, _ = fmt.Sscan(at[2][0], &nanos)
			got.time = seconds*1e9 + nanos
			for _, pair := range e[3] {
				if m := parts([]byte(pair)); m[1][0] == "remora_id" {
					got.id = m[2][0]
				}
			}
			all = append(all, got)
		}
	}
	return all
}

// fake treats pushes as Loki does: it takes the good entries of a push that it answers with 400.
type fake struct {
	t      *testing.T
	judge  func(all []entry) (bad []entry, status int, said string)
	pushes int
	stored map[entry]bool   // by all that Loki knows it by
	times  map[string]int64 // by identity
}

func start(t *testing.T, judge func(all []entry) (bad []entry, status int, said string)) (*fake, *Output) {
	f := &fake{t: t, judge: judge, stored: map[entry]bool{}, times: map[string]int64{}}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, open(t, "LOKI_URL", s.URL)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	all := entries(body)
	f.pushes++
	for _, e := range all {
		if was, known := f.times[e.id]; known && was != e.time {
			f.t.Errorf("%s comes with %d after %d", e.id, e.time, was)
		}
		f.times[e.id] = e.time
	}
	bad, status, said := f.judge(all)
	rejected := make(map[entry]bool, len(bad))
	for _, e := range bad {
		rejected[e] = true
	}
	for _, e := range all {
		if !rejected[e] {
			e.id = ""
			f.stored[e] = true
		}
	}
	if len(bad) == 0 && status == 0 {
		status = http.StatusNoContent
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, said)
}

// write lets the pipeline's part be played: what is to be sent again is, until all is decided.
func write(t *testing.T, o *Output, b *record.Batch) (refused []string, blocked map[string]int) {
	t.Helper()
	blocked = map[string]int{}
	records := b.Records
	for range 1000 {
		err := o.Write(t.Context(), &record.Batch{Records: records})
		if err == nil {
			return refused, blocked
		}
		var partial *output.Partial
		require.ErrorAs(t, err, &partial)
		for _, r := range partial.Refused {
			refused = append(refused, string(records[r.Index].Line))
		}
		for _, d := range partial.Blocked {
			require.Equal(t, d.Destination, string(o.AppendDestination(nil, &records[d.Index])))
			blocked[d.Destination]++
		}
		if len(partial.Retry) == 0 {
			return refused, blocked
		}
		var next []record.Record
		for _, i := range partial.Retry {
			next = append(next, records[i])
		}
		records = next
	}
	t.Fatal("it comes to no end")
	return nil, nil
}

func lines(from, to, step int) (all []string) {
	for i := from; i < to; i += step {
		all = append(all, sample.Line(i))
	}
	return all
}

func TestAllOfABacklogIsTooOld(t *testing.T) {
	for name, said := range map[string]func(e entry, n int) string{
		"by age": func(e entry, n int) string {
			return fmt.Sprintf("entry for stream '%s' has timestamp too old: 2025-11-21T07:00:00Z, oldest acceptable timestamp is: %s",
				e.labels, time.Now().Add(-7*24*time.Hour).UTC().Format(time.RFC3339))
		},
		"by count": func(e entry, n int) string {
			return fmt.Sprintf("entry with timestamp X ignored, reason: 'entry too far behind',\nuser 'fake', total ignored: %d out of %d for stream: %s", n, n, e.labels)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, o := start(t, func(all []entry) ([]entry, int, string) { return all, 400, said(all[0], len(all)) })
			for round := range 3 {
				refused, _ := write(t, o, sample.Batch(round*5000, round*5000+5000, sample.Source(1)))
				require.Len(t, refused, 5000)
			}
			require.Empty(t, f.stored)
			require.LessOrEqual(t, f.pushes, 6)
		})
	}
}

// A few lines that are too long, then more of them: the second time they are kept apart from the start.
func TestLinesThatAreTooLong(t *testing.T) {
	const limit = 200
	f, o := start(t, func(all []entry) (bad []entry, status int, said string) {
		for _, e := range all {
			if len(e.line) > limit {
				bad = append(bad, e)
				status, said = 400, fmt.Sprintf("Max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", limit, e.labels, len(e.line))
			}
		}
		return bad, status, said
	})
	for round := range 3 {
		b := sample.Batch(round*1000, round*1000+1000, sample.Source(1))
		long := []byte(strings.Repeat("x", limit+1))
		for i := 0; i < 1000; i += 100 {
			b.Records[i].Line = long
		}
		before := f.pushes
		refused, _ := write(t, o, b)
		require.Len(t, refused, 10)
		require.Equal(t, 990*(round+1), len(f.stored))
		require.LessOrEqual(t, f.pushes-before, 2)
	}
}

// Loki tells nothing but that it does not like something: it is found in log n steps for each.
func TestSearchWithoutHints(t *testing.T) {
	f, o := start(t, func(all []entry) (bad []entry, status int, said string) {
		for _, e := range all {
			if strings.Contains(e.line, "GET /000000777") || strings.Contains(e.line, "GET /000003000") {
				bad, status, said = append(bad, e), 400, "I don't like it"
			}
		}
		return bad, status, said
	})
	refused, _ := write(t, o, sample.Batch(0, 4000, sample.Source(1)))
	require.ElementsMatch(t, []string{sample.Line(777), sample.Line(3000)}, refused)
	require.Len(t, f.stored, 3998)
	require.LessOrEqual(t, f.pushes, 2*2*13)
}

// What Loki counts is believed, and saves the search where all or none of a half is bad.
func TestCountsAreBelieved(t *testing.T) {
	f, o := start(t, func(all []entry) (bad []entry, status int, said string) {
		for _, e := range all {
			if e.line < sample.Line(1000) {
				bad, status = append(bad, e), 400
			}
		}
		return bad, status, fmt.Sprintf("user 'u', total ignored: %d out of %d for stream: {host=\"node-1\", target=\"web\"}", len(bad), len(all))
	})
	refused, _ := write(t, o, sample.Batch(0, 4000, sample.Source(1)))
	require.Equal(t, lines(0, 1000, 1), refused)
	require.Len(t, f.stored, 3000)
	require.LessOrEqual(t, f.pushes, 3)
}

// A search that takes long is not begun again: what was decided stays decided.
func TestSearchIsBoundedAndNotBegunAgain(t *testing.T) {
	f, o := start(t, func(all []entry) (bad []entry, status int, said string) { return all, 400, "no" })
	b := sample.Batch(0, 200, sample.Source(1))
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.LessOrEqual(t, f.pushes, maxPushes)
	require.NotEmpty(t, partial.Refused)
	require.NotEmpty(t, partial.Retry)
	require.Len(t, partial.Retry, 200-len(partial.Refused))
	refused, _ := write(t, o, b)
	require.Len(t, refused, 200)
}

// One stream is over its limit; the others are delivered, and its records are not sent again and again beside them.
func TestOneStreamOverItsLimit(t *testing.T) {
	for name, said := range map[string]string{
		"rate":  `Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{host="node-1", target="evil"}' totaling 5MB, consider splitting a stream via additional labels`,
		"count": `Maximum active stream limit exceeded when trying to create stream {host="node-1", target="evil"}, reduce the number of active streams, user: 'fake'`,
		"ignored": "entry with timestamp X ignored, reason: 'Per stream rate limit exceeded',\n" +
			`user 'fake', total ignored: 3 out of 3 for stream: {host="node-1", target="evil"}`,
		"odd form": `Per stream rate limit exceeded for stream '{something="else"}'`,
	} {
		t.Run(name, func(t *testing.T) {
			f, o := start(t, func(all []entry) (bad []entry, status int, _ string) {
				for _, e := range all {
					if strings.Contains(e.labels, "evil") {
						bad, status = append(bad, e), 429
					}
				}
				return bad, status, said
			})
			evil := record.NewSource("evil", "d", "stdout", "evil", nil, []record.Tag{{Key: "host", Value: "node-1"}})
			refused, blocked := write(t, o, sample.Batch(0, 3, sample.Source(1), evil, sample.Source(2)))
			require.Empty(t, refused)
			require.Equal(t, map[string]int{`stream {target="evil", host="node-1"}`: 3}, blocked)
			require.Len(t, f.stored, 6)
			require.LessOrEqual(t, f.pushes, 4)
		})
	}
}

// The tenant's limit concerns everything.
func TestTenantOverItsLimit(t *testing.T) {
	_, o := start(t, func(all []entry) ([]entry, int, string) {
		return all, 429, "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '3' lines"
	})
	require.ErrorAs(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1))), new(*output.Throttled))
}

// With 260 Loki says that the tenant is blocked and that it has thrown the push away.
func TestBlockedTenantIsNoSuccess(t *testing.T) {
	_, o := start(t, func(all []entry) ([]entry, int, string) { return all, 260, "ingestion blocked for user fake" })
	require.ErrorContains(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1))), "ingestion blocked")
}

// Loki drops what has the time and the line of an entry that it has; a program, or two replicas, may mean it. Whatever the
// precision of the time, all are kept, in order, and a record has the same time however the batch is cut.
func TestRecordsOfOneMomentAreAllKept(t *testing.T) {
	for _, precision := range []int64{1e9, 1e6, 1e3, 1} {
		for _, std := range []record.Std{record.NoStd, record.Stdout} {
			f, o := start(t, func([]entry) ([]entry, int, string) { return nil, 0, "" })
			b := sample.Batch(0, 300, sample.Source(1), sample.Source(2))
			for i := range b.Records {
				r := &b.Records[i]
				r.Time, r.Line, r.Std = sample.Start/1e9*1e9+7*precision, []byte("tick"), std
				r.Offset, r.SameTime = int64(i/2*5), uint32(i/2)
			}
			if std == record.Stdout && precision < 1e6 { // the engine's times differ between containers
				for i := 1; i < len(b.Records); i += 2 {
					b.Records[i].Time += 1000 * 1000 * 1000
				}
			}
			require.NoError(t, o.Write(t.Context(), b))
			require.NoError(t, o.Write(t.Context(), &record.Batch{Records: b.Records[101:]}))
			require.Len(t, f.stored, 600, "%d %v", precision, std)
			last := int64(0)
			for i := 0; i < len(b.Records); i += 2 {
				at := o.stamp(&b.Records[i])
				require.Greater(t, at, last)
				require.Less(t, at-b.Records[i].Time, max(precision, 1e6))
				last = at
			}
		}
	}
}
