// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// readAt is when the lines of these tests are read, in ns since 1970: 2026-11-21T08:00:00Z.
const readAt = int64(1795248000e9)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newSource(tags ...record.Tag) *record.Source {
	return record.NewSource("stream", "test", "/var/log/test.log", "test", tags, nil)
}

func newChain(t testing.TB, d declare.Declaration, src *record.Source) *Chain {
	t.Helper()
	d.Name = "test"
	c, err := New(d, src, Options{Log: quiet})
	require.NoError(t, err)
	require.NotNil(t, c)
	return c
}

// applyAll is c.Apply until nothing is pending: how much time the machine has is none of a test's business.
func applyAll(c *Chain, b *record.Batch, from int, now int64, last bool) {
	c.Apply(b, from, now, last)
	for c.Pending() {
		c.Apply(b, len(b.Records), now, false)
	}
}

// run sends input through the chain of d, as a file that ends there, and returns its records.
func run(t testing.TB, d declare.Declaration, src *record.Source, input []byte) []record.Record {
	t.Helper()
	c := newChain(t, d, src)
	b := record.NewBatch(len(input) + 1)
	n := copy(b.Free(), input)
	data := b.Free()[:n]
	b.Keep(cut.NewLines(src, 1<<20).Cut(b, data, 0, readAt, true))
	applyAll(c, b, 0, readAt, true)
	require.EqualValues(t, -1, c.Open())
	for i := range b.Records {
		requireSound(t, &b.Records[i])
	}
	return b.Records
}

// apply sends one line through the chain of d.
func apply(t testing.TB, d declare.Declaration, line string) record.Record {
	t.Helper()
	return applyTo(t, newChain(t, d, newSource()), line)
}

func applyTo(t testing.TB, c *Chain, line string) record.Record {
	t.Helper()
	b := record.NewBatch(0)
	b.Records = append(b.Records, record.Record{Line: []byte(line), Source: newSource(), Time: readAt})
	applyAll(c, b, 0, readAt, true)
	require.Len(t, b.Records, 1)
	requireSound(t, &b.Records[0])
	return b.Records[0]
}

// requireSound holds what every record must be: its JSON is valid, in one line, without a member twice.
func requireSound(t testing.TB, r *record.Record) {
	t.Helper()
	var enc record.Encoder
	out := enc.AppendRecord(nil, r)
	require.True(t, json.Valid(out), "%s", out)
	require.True(t, utf8.Valid(out), "%q", out)
	require.NotContains(t, string(out), "\n")
	seen := map[string]bool{}
	if r.Line != nil {
		seen["message"] = true
	}
	record.EachField(r.Fields, func(key, _ []byte) bool {
		name := string(record.AppendUnescaped(nil, key))
		require.False(t, seen[name], "%q twice in %s", name, out)
		require.False(t, name != "parse_error" && name != "remora" && r.Source.Owns([]byte(name)), "%q in %s", name, out)
		seen[name] = true
		return true
	})
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.UseNumber()
	var all map[string]any
	require.NoError(t, decoder.Decode(&all))
}

// fieldsOf are the fields of r as encoding/json reads them.
func fieldsOf(t testing.TB, r record.Record) map[string]any {
	t.Helper()
	all := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader([]byte("{" + string(r.Fields) + "}")))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&all), "%s", r.Fields)
	return all
}
