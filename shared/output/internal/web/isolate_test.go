// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/record"
)

// objecting is a backend that objects to lines with a word in them.
type objecting struct {
	word     string
	requests int
	stored   int
	broken   bool
}

func (o *objecting) send(_ context.Context, b *record.Batch) error {
	o.requests++
	for i := range b.Records {
		if o.broken || o.word != "" && bytes.Contains(b.Records[i].Line, []byte(o.word)) {
			return &Suspect{Cause: errors.New("403 Forbidden: attack detected")}
		}
	}
	o.stored += len(b.Records)
	return nil
}

func hostile(t *testing.T) *record.Batch {
	b := sample.Batch(0, 3, sample.Source(1), sample.Source(2), sample.Source(3))
	b.Records[1].Line = []byte("' OR 1=1 --")
	require.Equal(t, "stream-2", b.Records[1].Source.Stream)
	return b
}

func TestASourceThatTheBackendObjectsToIsBlockedAlone(t *testing.T) {
	backend, n := &objecting{word: "OR 1=1"}, Isolation{Destination: AppendSource}
	b := hostile(t)
	require.ErrorAs(t, n.Write(t.Context(), b, backend.send), new(*Suspect), "it may be the backend as a whole")
	var partial *output.Partial
	require.ErrorAs(t, n.Write(t.Context(), b, backend.send), &partial)
	require.Empty(t, partial.Retry)
	var index []int
	for _, blocked := range partial.Blocked {
		index = append(index, blocked.Index)
		require.Equal(t, "log access of web-2 (stream-2)", blocked.Destination)
		require.Contains(t, blocked.Reason, "attack")
	}
	require.Equal(t, []int{1, 4, 7}, index)
	require.Equal(t, 6, backend.stored)

	// Alone it is blocked at once; and free once the backend takes it.
	alone := sample.Batch(0, 1, sample.Source(2))
	alone.Records[0].Line = b.Records[1].Line
	require.ErrorAs(t, n.Write(t.Context(), alone, backend.send), new(*output.Blocked))
	backend.word = ""
	require.NoError(t, n.Write(t.Context(), alone, backend.send))
	backend.broken = true
	require.NotErrorAs(t, n.Write(t.Context(), alone, backend.send), new(*output.Blocked))
}

// A source that is alone in its batches must not hold up others that come later.
func TestASourceThatIsAloneIsBlockedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend, n := &objecting{word: "OR 1=1"}, Isolation{Destination: AppendSource}
		evil := sample.Batch(0, 1, sample.Source(2))
		evil.Records[0].Line = []byte("' OR 1=1 --")
		for range 9 {
			require.NotErrorAs(t, n.Write(t.Context(), evil, backend.send), new(*output.Blocked), "it may be the backend as a whole")
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		require.ErrorAs(t, n.Write(t.Context(), evil, backend.send), new(*output.Blocked))

		other := sample.Batch(0, 1, sample.Source(3))
		other.Records[0].Line = evil.Records[0].Line
		require.NotErrorAs(t, n.Write(t.Context(), other, backend.send), new(*output.Blocked))
		time.Sleep(time.Millisecond)
		require.NoError(t, n.Write(t.Context(), sample.Batch(0, 1, sample.Source(1)), backend.send))
		require.ErrorAs(t, n.Write(t.Context(), other, backend.send), new(*output.Blocked), "others are taken")
	})
}

func TestABrokenBackendIsNoSourcesFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend, n := &objecting{broken: true}, Isolation{Destination: AppendSource}
		b := hostile(t)
		const attempts = 100
		for range attempts {
			err := n.Write(t.Context(), b, backend.send)
			require.NotErrorAs(t, err, new(*output.Partial))
			require.ErrorAs(t, err, new(*Suspect))
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, backend.requests, attempts+3, "it is not sent apart each time")
	})
}
