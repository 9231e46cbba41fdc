// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/mapped"
	"github.com/remora-logs/remora/shared/poison"
	"github.com/remora-logs/remora/shared/record"
)

// asked is a stream that calls when it is asked for its end.
type asked struct{ call func() }

func (asked) Key() string                       { return "s" }
func (asked) Ended() bool                       { return false }
func (asked) ReadAt([]byte, int64) (int, error) { return 0, nil }
func (asked) Mark(int64) ([]byte, error)        { return nil, nil }
func (asked) Release(int64)                     {}
func (s asked) End() int64                      { s.call(); return 100 }
func feedOf(s asked, src *record.Source) *Feed {
	return &Feed{pipeline: &Pipeline{log: slog.New(slog.DiscardHandler)}, route: Route{Stream: s, Source: src}}
}

// What was accepted of all ranges of a feed is remembered, and the hold begins, before the reader is told to return: it
// may be in its turn.
func TestAFeedReturnsAfterWhatWasAcceptedIsRemembered(t *testing.T) {
	src := record.NewSource("s", "d", "s", "t", nil, nil)
	var f *Feed
	waited := false
	f = feedOf(asked{func() {
		waited = true
		require.Zero(t, f.epoch.Load())
		require.Len(t, f.ledger.settled, 3)
	}}, src)
	defer f.ledger.settled.drop()
	other := feedOf(asked{}, src)
	b := newInflightBatch(1 << 16)
	for i := range 8 {
		b.batch.Records = append(b.batch.Records, record.Record{Source: src, Offset: int64(i)})
	}
	for _, of := range []*Feed{f, other, f} {
		b.add(ackRange{feed: of, records: 3}, 0, time.Now())
	}
	b.ranges[2].records = 2
	b.reject(1, verdict{kind: busy})
	b.reject(6, verdict{kind: busy})
	s := &shard{sink: &sink{state: newState(slog.New(slog.DiscardHandler), time.Second)}, pipeline: f.pipeline, cfg: Config{RetryMax: time.Minute}}
	other.pipeline = f.pipeline
	now := time.Now()
	s.settle(b, now)
	require.True(t, waited)
	require.EqualValues(t, 1, f.epoch.Load())
	require.Empty(t, other.ledger.settled)
	require.Contains(t, f.ledger.settled, settledKey{offset: 7})

	f.route.Stream = asked{func() {}}
	require.Zero(t, f.read(newInflightBatch(1<<16), now), "the turn began before the hold did")
	require.Zero(t, f.reader.epoch)
}

// A record that can't be remembered is not counted before it is judged again, and one feed does not take up all the room.
func TestWhatCanNotBeRememberedIsCountedOnce(t *testing.T) {
	src := record.NewSource("s", "d", "s", "t", nil, nil)
	f, other := feedOf(asked{}, src), feedOf(asked{}, src)
	defer f.ledger.settled.drop()
	defer other.ledger.settled.drop()
	for i := range maxSettledOfFeed + 10 {
		f.rememberRefused(&record.Record{Source: src, Offset: int64(i), Line: []byte("x")})
	}
	require.EqualValues(t, maxSettledOfFeed, f.ledger.counts.RefusedRecords)
	require.EqualValues(t, maxSettledOfFeed, f.ledger.counts.RefusedBytes)
	other.rememberRefused(&record.Record{Source: src})
	require.EqualValues(t, 1, other.ledger.counts.RefusedRecords)

	f.countParked(1, 1)
	f.rememberParked(&record.Record{Source: src, Offset: 1 << 30, Line: []byte("x")})
	require.EqualValues(t, 1, f.ledger.counts.ReadRecords, "it is read, and parked, once more")
	require.EqualValues(t, 1, f.ledger.counts.ParkedRecords)
}

// A stream that waits meets its set-aside record at each attempt. It is kept once.
func TestARecordIsSetAsideOnce(t *testing.T) {
	src := record.NewSource("s", "d", "s", "t", nil, nil)
	f := feedOf(asked{}, src)
	path := filepath.Join(t.TempDir(), "aside.jsonl")
	f.pipeline.aside = &deadLetters{path: path, limit: 1 << 20}
	for range 5 {
		f.reader.suspects = &suspects{}
		f.setAside(&record.Record{Source: src, Line: []byte("killer")}, 7, 3)
		require.EqualValues(t, 1, f.reader.suspects.aside.records, "it counts in each turn")
	}
	f.setAside(&record.Record{Source: src, Line: []byte("another")}, 8, 3)
	f.pipeline.aside.close()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(text), "\n"))
}

// Records of a turn that a process died in are marked one by one until the reader is behind all that may be of it, and no longer.
func TestATurnIsSuspectedUntilItIsBehind(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	open := func() *poison.Watch {
		w, err := poison.Open(dir, 1, func(*os.File, int64, int64) ([]byte, error) { return nil, mapped.ErrCopyOnWrite }, quiet)
		require.NoError(t, err)
		return w
	}
	src := record.NewSource("s", "d", "s", "t", nil, nil)
	open().Slot(0).Enter(src.ID, "", 5000, false)
	chain, err := format.New(declare.Declaration{Filters: map[string]string{"drop": "nothing"}}, src, format.Options{Log: quiet})
	require.NoError(t, err)
	f := feedOf(asked{}, src)
	f.pipeline.watch = open()
	f.shard = &shard{slot: f.pipeline.watch.Slot(0)}
	f.reader.chain = chain
	f.watch()
	require.NotNil(t, f.reader.suspects)
	for _, at := range []int64{4000, 5000, 5000 + turnRest - 1} {
		f.reader.cursor = at
		f.enterChain()
		f.leaveChain()
		require.NotNil(t, f.reader.suspects, "%d", at)
	}
	f.reader.cursor++
	f.enterChain()
	f.leaveChain()
	require.Nil(t, f.reader.suspects)
	_, _, suspected := open().Turn(src.ID, "")
	require.False(t, suspected)
}

// An output is not failing for ever because the last that it was sent was rejected.
func TestARejectionIsForgotten(t *testing.T) {
	s := newState(slog.New(slog.DiscardHandler), 30*time.Second)
	start := time.Unix(1_700_000_000, 0)
	s.rejected("mapping", start)
	_, err := s.get(start.Add(10 * time.Second))
	require.ErrorContains(t, err, "mapping")
	_, err = s.get(start.Add(50 * time.Second))
	require.Error(t, err, "a stream that waits is tried within that time")
	_, err = s.get(start.Add(2 * time.Minute))
	require.NoError(t, err)
	again := start.Add(time.Hour)
	s.rejected("mapping", again)
	_, err = s.get(again.Add(time.Second))
	require.NoError(t, err)
	since, err := s.get(again.Add(10 * time.Second))
	require.Error(t, err)
	require.Equal(t, again, since)
}
