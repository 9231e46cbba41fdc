// SPDX-License-Identifier: Apache-2.0

package park

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

var (
	source = record.NewSource("docker:abc/1", "access", "/var/log/a.log", "web",
		[]record.Tag{{Key: "index", Value: "shop"}, {Key: "team", Value: "a\x00b"}}, []record.Tag{{Key: "docker_container", Value: "shop-1"}})
	start = time.Unix(1_700_000_000, 0)
)

func entry(i int) *Entry {
	return &Entry{Destination: "index old", Reason: "403", Since: start,
		Record: record.Record{Source: source, Offset: int64(i), Time: 7, SameTime: 3, Std: record.Stderr, Truncated: i%2 == 0,
			Line: []byte(fmt.Sprintf("line %d", i)), Fields: []byte(`"a":1`)}}
}

func open(t *testing.T, dir string, limit int64) (*Store, []Entry) {
	var all []Entry
	s, err := Open(dir, limit, time.Minute, func(_ string, e *Entry) { all = append(all, *e) })
	require.NoError(t, err)
	return s, all
}

func never(string, []Entry) { panic("nothing is to be evicted") }

// What is parked comes back with all that makes its JSON and its identity.
func TestAnEntryComesBackWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	plain := &Entry{Record: record.Record{Source: record.NewSource("s", "d", "stdout", "t", nil, nil), Marker: true, Offset: 1 << 40}}
	for _, e := range []*Entry{entry(1), entry(2), plain} {
		require.NoError(t, s.Append("es", e, start, never))
	}
	_, all := open(t, dir, 1<<20) // as after a kill: nothing was synced or closed
	require.Len(t, all, 3)
	var enc record.Encoder
	for i, want := range []*Entry{entry(1), entry(2), plain} {
		got := all[i]
		require.Equal(t, string(enc.AppendRecord(nil, &want.Record)), string(enc.AppendRecord(nil, &got.Record)))
		require.Equal(t, string(want.Record.AppendID(nil)), string(got.Record.AppendID(nil)))
		require.Equal(t, want.Record.Source.Index, got.Record.Source.Index)
		require.Equal(t, want.Record.Line == nil, got.Record.Line == nil)
		require.Equal(t, want.Record.SameTime, got.Record.SameTime)
		require.Equal(t, want.Destination+want.Reason, got.Destination+got.Reason)
		require.True(t, want.Since.Equal(got.Since) || want.Since.IsZero())
	}
	require.Same(t, all[0].Record.Source, all[1].Record.Source)
}

// A file that ends within an entry gives what comes before; one that is damaged within an entry all others.
func TestADamagedEndIsLeftOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	for i := range 10 {
		require.NoError(t, s.Append("es", entry(i), start, never))
	}
	require.NoError(t, s.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	require.NoError(t, err)
	require.Len(t, names, 1)
	whole, err := os.ReadFile(names[0])
	require.NoError(t, err)
	each := len(whole) / 10
	for at := 0; at < len(whole); at += 7 {
		require.NoError(t, os.WriteFile(names[0], whole[:at], 0o600))
		_, all := open(t, dir, 1<<20)
		require.Equal(t, at/each, len(all), "cut at %d", at)
		spoilt := append([]byte(nil), whole...)
		spoilt[at] ^= 0x55
		require.NoError(t, os.WriteFile(names[0], spoilt, 0o600))
		_, all = open(t, dir, 1<<20)
		require.GreaterOrEqual(t, len(all), at/each, "damaged at %d", at)
		if at%each >= 4 { // behind the entry's length
			require.Len(t, all, 9, "damaged at %d", at)
		}
		require.NoError(t, os.Remove(names[0]+badSuffix))
	}
}

// What Open can't read is not deleted, and does not come in the way of what it can.
func TestWhatCanNotBeReadIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	newer := func() []byte {
		p := appendEntry(nil, entry(0))
		p[header] = version + 1
		binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(p[header:], checksums))
		return p
	}()
	require.NoError(t, os.Mkdir(dir, 0o700))
	mixed, alone := nameOf(1, groupOf(source), "es"), nameOf(2, (groupOf(source)+1)%groups, "es")
	require.NoError(t, os.WriteFile(filepath.Join(dir, mixed), append(appendEntry(bytes.Clone(newer), entry(1)), newer...), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, alone), newer, 0o600))
	s, all := open(t, dir, 1<<20)
	require.Len(t, all, 1)
	require.EqualValues(t, 3*len(newer), s.Newer())
	require.Zero(t, s.Damaged())
	for range 20 {
		require.NoError(t, s.Append("es", entry(2), start, never))
	}
	seg, all, _, err := s.Due("es", start.Add(time.Hour))
	require.NoError(t, err)
	require.NoError(t, seg.Keep(nil, all, start))
	for name, size := range map[string]int{mixed: 2*len(newer) + len(appendEntry(nil, entry(1))), alone: len(newer)} {
		kept, err := os.ReadFile(filepath.Join(dir, name+badSuffix))
		require.NoError(t, err)
		require.Len(t, kept, size)
		require.Equal(t, newer, kept[:len(newer)])
	}
	s, all = open(t, dir, 1<<20)
	require.Empty(t, all)
	require.Zero(t, s.Newer(), "it is reported once")
}

// The store is never larger than its limit, and what makes room is the oldest.
func TestTheOldestMakeRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	gone := 0
	for i := range 20_000 {
		require.NoError(t, s.Append("es", entry(i), start, func(output string, all []Entry) {
			require.Equal(t, "es", output)
			for _, e := range all {
				require.EqualValues(t, gone, e.Record.Offset)
				gone++
			}
		}))
		require.LessOrEqual(t, s.Size(), int64(1<<20))
	}
	require.NotZero(t, gone)
	require.NoError(t, s.Close())
	s, all := open(t, dir, 1<<20)
	require.Equal(t, 20_000-gone, len(all))
	var onDisk int64
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		onDisk += info.Size()
	}
	require.Equal(t, s.Size(), onDisk)
	require.ErrorContains(t, s.Append("es", &Entry{Record: record.Record{Source: source, Line: make([]byte, 2<<20)}}, start, never), "larger")
}

// Who parks much evicts its own records, not those of others.
func TestOneContainerDoesNotEvictAnothersRecords(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "parked"), 1<<20)
	quiet := record.NewSource("q", "d", "stdout", "t", nil, []record.Tag{{Key: "docker_container", Value: "quiet"}})
	require.NotEqual(t, groupOf(quiet), groupOf(source))
	park := func(r record.Record) {
		require.NoError(t, s.Append("es", &Entry{Record: r}, start, func(_ string, all []Entry) {
			for _, e := range all {
				require.NotEqual(t, "q", e.Record.Source.Stream)
			}
		}))
	}
	for i := range 20_000 {
		if i%200 == 0 {
			park(record.Record{Source: quiet, Offset: int64(i), Line: []byte("late")})
		}
		park(entry(i).Record)
	}
}

// Retries come with growing pauses, of what is left alone, and survive a restart in between.
func TestRetriesBackOffAndKeepWhatIsLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	for i := range 10 {
		require.NoError(t, s.Append("es", entry(i), start, never))
	}
	none, _, wait, err := s.Due("es", start)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Positive(t, wait)
	none, _, _, err = s.Due("other", start.Add(time.Hour))
	require.NoError(t, err)
	require.Nil(t, none)

	now, last := start, time.Duration(0)
	for range 8 {
		_, _, wait, _ := s.Due("es", now)
		now = now.Add(wait)
		seg, all, _, err := s.Due("es", now)
		require.NoError(t, err)
		require.Len(t, all, 10)
		require.NoError(t, seg.Keep(all, all, now))
		_, _, wait, _ = s.Due("es", now)
		require.GreaterOrEqual(t, wait, last)
		require.LessOrEqual(t, wait, time.Minute)
		last = wait
	}
	require.Equal(t, time.Minute, last)
	now = now.Add(time.Minute)
	seg, all, _, err := s.Due("es", now)
	require.NoError(t, err)
	require.NoError(t, seg.Keep(all[5:], all, now))
	_, all = open(t, dir, 1<<20)
	require.Len(t, all, 5)
	require.EqualValues(t, 5, all[0].Record.Offset)
	seg, all, _, err = s.Due("es", now.Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, seg.Keep(nil, all, now))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
	require.Zero(t, s.Size())
}

// A record now and then, each of which is due before the next one comes, makes neither a file each nor a retry each.
func TestRecordsNowAndThenShareASegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	now, retries := start, 0
	for i := range 600 {
		require.NoError(t, s.Append("es", entry(i), now, never))
		now = now.Add(1100 * time.Millisecond)
		for {
			seg, all, _, err := s.Due("es", now)
			require.NoError(t, err)
			if seg == nil {
				break
			}
			retries++
			if i%2 == 0 { // a record that comes during a retry
				require.NoError(t, s.Append("es", entry(1000+i), now, never))
			}
			require.NoError(t, seg.Keep(all, all, now))
		}
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 8)
	require.LessOrEqual(t, retries, 100)
}

// A segment that is left with little is filled again, also after a restart.
func TestASegmentIsFilledAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	for i := range 10 {
		require.NoError(t, s.Append("es", entry(i), start, never))
	}
	seg, all, _, err := s.Due("es", start.Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, seg.Keep(all[8:], all, start))
	require.NoError(t, s.Append("es", entry(10), start, never))
	require.NoError(t, s.Close())
	s, _ = open(t, dir, 1<<20)
	require.NoError(t, s.Append("es", entry(11), start, never))
	s, all = open(t, dir, 1<<20)
	require.Len(t, s.segments, 1)
	var got []int64
	for _, e := range all {
		got = append(got, e.Record.Offset)
	}
	require.Equal(t, []int64{8, 9, 10, 11}, got)
}

// Tiny segments of many outputs and groups count for a block each, so that the limit bounds their number too.
func TestTheNumberOfSegmentsIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	gone := 0
	for i := range 2000 {
		require.NoError(t, s.Append(fmt.Sprintf("out%d", i), entry(i), start, func(_ string, all []Entry) { gone += len(all) }))
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 1<<20/leastCharge)
	require.Equal(t, 2000, gone+len(files))
}

// full is a disk on which nothing can be written anew: where the rewritten segment would be is a directory.
func full(t *testing.T, seg *Segment) (freed func()) {
	require.NoError(t, os.Mkdir(seg.path()+".tmp", 0o700))
	require.NoError(t, os.WriteFile(seg.path()+".tmp/x", nil, 0o600))
	return func() { require.NoError(t, os.RemoveAll(seg.path()+".tmp")) }
}

// What was decided on is not due again though its segment can't be rewritten, and the back-off does not begin anew.
func TestWhatWasDecidedIsNotDueAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	for i := range 10 {
		require.NoError(t, s.Append("es", entry(i), start, never))
	}
	now := start.Add(time.Minute)
	seg, all, _, err := s.Due("es", now)
	require.NoError(t, err)
	freed := full(t, seg)
	require.Error(t, seg.Keep(all[4:], all, now))
	for range 5 {
		now = now.Add(time.Minute)
		seg, all, _, err = s.Due("es", now)
		require.NoError(t, err)
		require.Len(t, all, 6)
		require.Error(t, seg.Keep(all, all, now))
	}
	require.GreaterOrEqual(t, seg.due.Sub(now), 16*time.Second)
	require.NoError(t, s.Append("es", entry(10), now, never), "appending needs no rewrite")
	freed()
	now = now.Add(time.Minute)
	seg, all, _, err = s.Due("es", now)
	require.NoError(t, err)
	require.Len(t, all, 7)
	require.NoError(t, seg.Keep(all[1:], all, now))
	_, all = open(t, dir, 1<<20)
	require.Len(t, all, 6)
	require.EqualValues(t, 5, all[0].Record.Offset)
}

// A segment that has made room but can't be removed is not evicted a second time.
func TestWhatMadeRoomIsNotEvictedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 64<<10)
	seen := map[int64]bool{}
	evicted := func(_ string, all []Entry) {
		for _, e := range all {
			require.False(t, seen[e.Record.Offset], "evicted twice")
			seen[e.Record.Offset] = true
		}
	}
	i := 0
	for ; len(seen) == 0; i++ {
		require.NoError(t, s.Append("es", entry(i), start, evicted))
	}
	seg := s.segments[0]
	entries, err := seg.undecided()
	require.NoError(t, err)
	seg.decide(nil, entries) // as where the removal fails after it
	for range 2000 {
		i++
		require.NoError(t, s.Append("es", entry(i), start, evicted))
	}
	require.False(t, seen[entries[0].Record.Offset])
}

// After a sync that failed, what was appended is written to another file: a second sync of the first means nothing.
func TestAFailedSyncIsFollowedByARewrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	require.NoError(t, s.Append("es", entry(0), start, never))
	first := s.segments[0].file
	broken, synced := true, map[*os.File]int{}
	s.fsync = func(f *os.File) error {
		synced[f]++
		if f == first && synced[f] == 1 || f != first && broken {
			return errors.New("input/output error")
		}
		return nil
	}
	require.Error(t, s.Sync())
	require.Error(t, s.Sync(), "the first file's sync succeeds now, and means nothing")
	seg, all, _, err := s.Due("es", start.Add(time.Minute))
	require.NoError(t, err)
	broken = false
	require.ErrorContains(t, s.Sync(), "retried")
	require.NoError(t, seg.Keep(all, all, start))
	require.NoError(t, s.Sync())
	require.Len(t, s.segments, 1)
	require.NotSame(t, first, s.segments[0].file)
	require.NoError(t, s.Append("es", entry(1), start, never))
	require.NoError(t, s.Sync())
	_, all = open(t, dir, 1<<20)
	require.Len(t, all, 2)
}

// Where somebody removes the directory, it is made again with what is still open, and Sync does not fail for ever.
func TestARemovedDirectoryIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 1<<20)
	require.NoError(t, s.Append("es", entry(0), start, never))
	require.NoError(t, os.RemoveAll(dir))
	require.Error(t, s.Sync())
	require.NoError(t, s.Sync())
	require.NoError(t, s.Append("es", entry(1), start, never))
	require.NoError(t, s.Sync())
	_, all := open(t, dir, 1<<20)
	require.Len(t, all, 2)

	require.NoError(t, s.Close())
	require.NoError(t, os.RemoveAll(dir))
	seg, _, _, err := s.Due("es", start.Add(time.Minute))
	require.Nil(t, seg)
	require.Error(t, err)
	_, _, wait, err := s.Due("es", start.Add(time.Hour))
	require.NoError(t, err, "it is reported once")
	require.Zero(t, wait+time.Duration(s.Size()))
}

// Records are parked while a disk takes its time to sync.
func TestASlowSyncHoldsUpNobody(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "parked"), 1<<20)
	require.NoError(t, s.Append("es", entry(0), start, never))
	begun, end, synced := make(chan struct{}), make(chan struct{}), make(chan error)
	s.fsync = func(*os.File) error { close(begun); <-end; return nil }
	go func() { synced <- s.Sync() }()
	<-begun
	require.NoError(t, s.Append("es", entry(1), start, never))
	close(end)
	require.NoError(t, <-synced)
	require.True(t, s.unsynced)
	require.True(t, s.segments[0].dirty, "the second may have come too late for that sync")
}

// A segment that is being retried is neither appended to nor evicted.
func TestARetryIsLeftAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	s, _ := open(t, dir, 64<<10)
	require.NoError(t, s.Append("es", entry(0), start, never))
	seg, all, _, err := s.Due("es", start.Add(time.Minute))
	require.NoError(t, err)
	for i := 1; i < 1000; i++ {
		require.NoError(t, s.Append("es", entry(i), start, func(_ string, all []Entry) {
			for _, e := range all {
				require.NotZero(t, e.Record.Offset)
			}
		}))
	}
	require.NoError(t, seg.Keep(all, all, start))
}

func FuzzEntries(f *testing.F) {
	whole := appendEntry(nil, entry(1))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(strings.Repeat("\xff", 64)))
	f.Fuzz(func(_ *testing.T, p []byte) {
		var d decoder
		_, _ = d.decode(p) // as if the checksum were right
		for {
			payload, rest, err := next(p)
			if err != nil {
				return
			}
			_, _ = d.decode(payload)
			p = rest
		}
	})
}
