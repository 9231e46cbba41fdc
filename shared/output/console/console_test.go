// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/internal/sample"
)

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	o := open(Config{Format: "json"}, &out)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1))))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 3)
	for i, line := range lines {
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &got))
		require.Equal(t, sample.Line(i), got["message"])
		require.Equal(t, "blue", got["team"])
	}
}

func TestRawIsTheLineAloneAndJSONWhereThereIsNone(t *testing.T) {
	var out bytes.Buffer
	o := open(Config{Format: "raw"}, &out)
	b := sample.Batch(0, 2, sample.Source(1))
	b.Records[1].Line, b.Records[1].Fields = nil, []byte(`"status":200`)
	require.NoError(t, o.Write(t.Context(), b))
	first, second, _ := strings.Cut(out.String(), "\n")
	require.Equal(t, sample.Line(0), first)
	require.Contains(t, second, `"status":200`)
}

// A write that broke off in a line must not swallow the next one.
func TestTornLineIsEnded(t *testing.T) {
	w := &breaking{left: 10}
	o := open(Config{Format: "raw"}, w)
	require.ErrorContains(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), "standard output")
	w.left = 1 << 20
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
	require.Equal(t, sample.Line(0)[:10]+"\n"+sample.Line(0)+"\n", w.out.String())
}

type breaking struct {
	out  bytes.Buffer
	left int
}

func (w *breaking) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.out.Write(p[:n])
	if n < len(p) {
		return n, errors.New("broken")
	}
	return n, nil
}

func TestReaderThatDoesNotReadHoldsNobodyPastTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		o := open(Config{Format: "raw"}, blocking(block))
		ctx, cancel := context.WithTimeout(t.Context(), 1e9)
		defer cancel()
		require.ErrorIs(t, o.Write(ctx, sample.Batch(0, 1, sample.Source(1))), context.DeadlineExceeded)
		require.ErrorIs(t, o.Write(ctx, sample.Batch(0, 1, sample.Source(1))), context.DeadlineExceeded)
		close(block)
		synctest.Wait()
		require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
	})
}

type blocking chan struct{}

func (w blocking) Write(p []byte) (int, error) { <-w; return len(p), nil }

func BenchmarkWrite(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(b, err)
	defer null.Close()
	o := open(Config{Format: "json"}, null)
	batch := sample.Batch(0, 10_000, sample.Source(1))
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
