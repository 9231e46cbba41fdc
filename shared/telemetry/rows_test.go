// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/pipeline"
)

func rowsOf(s Snapshot, declared ...Declaration) map[RowKey]Row {
	s.MakeRows(declared)
	rows := map[RowKey]Row{}
	for _, r := range s.Rows {
		rows[r.Key()] = r
	}
	return rows
}

func TestEveryDeclarationHasARow(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	rows := rowsOf(Snapshot{
		Now: now,
		Logs: []Log{
			{Writer: "web", Declaration: "access", Output: "kafka", Source: "/a", Counts: pipeline.Counts{ReadRecords: 5, SentRecords: 5}},
			{Writer: "web", Declaration: "access", Output: "kafka", Source: "/b", Counts: pipeline.Counts{ReadRecords: 2, SentRecords: 1, QueuedRecords: 1}},
		},
		Problems: []Problem{
			{Container: "web", Key: "aliyun.logs.bad.format", Message: "unknown format"},
			{Container: "web", Key: "aliyun.logs.bad.tags", Message: "no tags"},
			{Container: "web", Key: "aliyun.logs.access.colour", Message: "unknown key", Warning: true},
			{Container: "old", Key: "log", Message: "its log driver is none"},
			{Key: "aliyun_logs_none_format", Message: "odd"},
			{Container: "web", Key: "/x", Message: "no such directory"},
			{Container: "web", Key: "/y", Message: "permission denied"},
		},
		ended: []pipeline.Ended{
			{Writer: "web", Declaration: "access", Output: "kafka", Counts: pipeline.Counts{ReadRecords: 3, SentRecords: 3}},
			{Writer: "job", Declaration: "stdout", Output: "kafka", Counts: pipeline.Counts{ReadRecords: 9, SentRecords: 9}},
			{Writer: "web", Declaration: "quiet", Output: "kafka", Counts: pipeline.Counts{ReadRecords: 4, SentRecords: 4}},
		},
	},
		Declaration{Container: "web", Name: "access", Sources: []string{"/*"}, Outputs: []string{"kafka"}, Files: 2},
		Declaration{Container: "web", Name: "none", Sources: []string{"/x/*.log"}, Outputs: []string{"kafka"}},
		Declaration{Container: "web", Name: "quiet", Sources: []string{"/q"}, Outputs: []string{"kafka"}, Files: 1},
		Declaration{Container: "web", Name: "nowhere", Sources: []string{"/n"}, Files: 1},
		Declaration{Container: "left", Name: "a", Sources: []string{"/n"}, Outputs: []string{"kafka"}, Files: -1, LeftOut: "it is labelled"},
	)
	access := rows[RowKey{"web", "access", "kafka"}]
	require.Equal(t, StateSending, access.State)
	require.Equal(t, int64(10), access.Counts.ReadRecords)
	require.Equal(t, 2, access.Streams)
	require.Equal(t, []string{"/*"}, access.Sources)
	for key, want := range map[RowKey]State{
		{"web", "none", "kafka"}: StateNoMatch, {"web", "quiet", "kafka"}: StateDone, {"web", "nowhere", ""}: StateRefused,
		{"left", "a", "kafka"}: StateLeftOut, {"job", "stdout", "kafka"}: StateEnded, {"web", "bad", ""}: StateRefused,
		{"old", "log", ""}: StateRefused,
	} {
		require.Equal(t, want, rows[key].State, key)
		if want != StateDone && want != StateEnded {
			require.NotEmpty(t, rows[key].Reason, key)
		}
	}
	require.Equal(t, "aliyun.logs.bad.format: unknown format; aliyun.logs.bad.tags: no tags", rows[RowKey{"web", "bad", ""}].Reason)
	require.Equal(t, "no file matches /x/*.log; aliyun_logs_none_format: odd; /x: no such directory", rows[RowKey{"web", "none", "kafka"}].Reason)
	require.Equal(t, int64(4), rows[RowKey{"web", "quiet", "kafka"}].Counts.SentRecords, "a file that was read to its end stays counted")
	require.Len(t, rows, 8)
}

func TestTheWorstStateOfARowIsShown(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	long, lately := now.Add(-time.Hour), now.Add(-time.Second)
	queued := pipeline.Counts{ReadRecords: 1, QueuedRecords: 1}
	for want, l := range map[State]Log{
		StateDone:       {},
		StateSending:    {Counts: queued},
		StateBehind:     {Counts: queued, LagBytes: 9, LagSeconds: 31},
		StateSlowed:     {CPUWaitSince: &long, Counts: queued},
		StateParked:     {Parked: &Blocked{"index-1", "closed", long}},
		StateUnreadable: {Error: "permission denied", ErrorSince: &lately},
		StateWaiting:    {Waiting: &Blocked{"index-1", "closed", long}, Error: "x", ErrorSince: &lately},
		StateFailing:    {Output: "down", Counts: queued, LagBytes: 9},
	} {
		l.Writer, l.Declaration = "web", "a"
		s := Snapshot{Now: now, Logs: []Log{{Writer: "web", Declaration: "a", Output: l.Output}, l},
			Outputs: []Output{{Name: "down", Error: "refused", Since: &long}}}
		r := rowsOf(s)[RowKey{"web", "a", l.Output}]
		require.Equal(t, want, r.State)
		require.Equal(t, advice[want], r.Advice)
	}
	old := Log{Writer: "web", Declaration: "a", Error: "it was gone", ErrorSince: &long}
	r := rowsOf(Snapshot{Now: now, Logs: []Log{old}})[RowKey{"web", "a", ""}]
	require.Equal(t, StateDone, r.State, "what went wrong an hour ago")
	require.Equal(t, "it was gone", r.Error)
}

// Somebody who declares a thousand wrong keys of one log gets one row, of bounded size.
func TestReasonsAreBounded(t *testing.T) {
	var s Snapshot
	for i := range 1000 {
		s.Problems = append(s.Problems, Problem{Container: "web", Key: fmt.Sprintf("aliyun.logs.a.k%d", i), Message: strings.Repeat("x", 100)})
	}
	rows := rowsOf(s)
	require.Len(t, rows, 1)
	require.Less(t, len(rows[RowKey{"web", "a", ""}].Reason), maxReason+200)
}

func TestTheTableShowsWhatIsNotRead(t *testing.T) {
	s := Snapshot{Now: time.Unix(1_700_000_000, 0), Logs: []Log{{Container: "web", Declaration: "access", Source: "/a", Output: "o"}}}
	s.MakeRows([]Declaration{{Container: "web", Name: "none", Sources: []string{"/x/*.log"}, Outputs: []string{"o"}}})
	var b strings.Builder
	require.NoError(t, s.Print(&b))
	require.Regexp(t, `web +access +/a +o +done`, b.String())
	require.Regexp(t, `web +none +/x/\*\.log +o +no_match .*no file matches /x/\*\.log`, b.String())
	require.Equal(t, 1, strings.Count(b.String(), "access"))
}

// The command shows what the process knows, by way of JSON.
func TestTheTableOfAnotherProcess(t *testing.T) {
	s := Snapshot{Now: time.Unix(1_700_000_000, 0), Logs: []Log{{Container: "app", Writer: "shop/web-0/app", Declaration: "access", Source: "/a", Output: "o"}}}
	s.MakeRows(nil)
	body, err := json.Marshal(s)
	require.NoError(t, err)
	var read Snapshot
	require.NoError(t, json.Unmarshal(body, &read))
	var b strings.Builder
	require.NoError(t, read.Print(&b))
	require.Contains(t, b.String(), "shop/web-0/app  access")
	read.Logs[0].Container, read.Logs[0].Writer, read.Rows = "", "", nil
	b.Reset()
	require.NoError(t, read.Print(&b))
	require.NotContains(t, b.String(), "CONTAINER", "a process that serves one names none")
	require.Regexp(t, `(?m)^LOG +SOURCE`, b.String())
	require.Regexp(t, `(?m)^\(total\) +0`, b.String())
}
