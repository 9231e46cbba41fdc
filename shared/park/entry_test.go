// SPDX-License-Identifier: Apache-2.0

package park

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

// firstVersion is an entry as version 1 wrote it.
func firstVersion(e *Entry) []byte {
	r, s := &e.Record, e.Record.Source
	p := []byte{1}
	for _, text := range []string{s.Stream, s.Declaration, s.Path, s.Target, e.Destination, e.Reason} {
		p = appendText(p, text)
	}
	p = binary.AppendUvarint(p, uint64(len(s.Tags)-s.Origin))
	p = binary.AppendUvarint(p, uint64(s.Origin))
	for _, t := range s.Tags {
		p = appendText(appendText(p, t.Key), t.Value)
	}
	p = binary.AppendUvarint(p, uint64(r.Std)*flagStd|flagLine|flagTruncated)
	p = binary.AppendVarint(binary.AppendVarint(p, r.Time), r.Offset)
	p = binary.AppendUvarint(p, uint64(r.SameTime))
	p = binary.AppendVarint(p, e.Since.UnixNano())
	p = appendText(appendText(p, r.Line), r.Fields)
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(p)))
	return append(binary.LittleEndian.AppendUint32(head, crc32.Checksum(p, checksums)), p...)
}

// What an earlier Remora has parked is sent, and what is left of it is written in today's version.
func TestEntriesOfTheFirstVersionAreRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	require.NoError(t, os.Mkdir(dir, 0o700))
	name := filepath.Join(dir, nameOf(1, groupOf(source), "es"))
	require.NoError(t, os.WriteFile(name, append(firstVersion(entry(0)), firstVersion(entry(2))...), 0o600))
	s, all := open(t, dir, 1<<20)
	require.Zero(t, s.Damaged()+s.Newer())
	require.Len(t, all, 2)
	var enc record.Encoder
	for i, want := range []*Entry{entry(0), entry(2)} {
		got := all[i]
		require.Equal(t, string(enc.AppendRecord(nil, &want.Record)), string(enc.AppendRecord(nil, &got.Record)))
		require.Equal(t, source.Recipe(), got.Record.Source.Recipe())
		require.Equal(t, want.Destination+want.Reason, got.Destination+got.Reason)
	}
	seg, all, _, err := s.Due("es", start)
	require.NoError(t, err)
	require.NoError(t, seg.Keep(all[1:], all, start))
	p, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, appendEntry(nil, entry(2)), p)
}

// Whatever bytes an entry has, with a right checksum, it makes an error or an entry that can be encoded.
func FuzzDecode(f *testing.F) {
	f.Add(appendEntry(nil, entry(1))[header:])
	f.Add(firstVersion(entry(0))[header:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		var d decoder
		e, err := d.decode(payload)
		if err != nil {
			return
		}
		var enc record.Encoder
		enc.AppendRecord(nil, &e.Record)
		again, err := d.decode(appendEntry(nil, &e)[header:])
		require.NoError(t, err)
		require.Equal(t, e.Record.AppendID(nil), again.Record.AppendID(nil))
	})
}

// Files that can't be read are bounded in number and size; the newest are kept.
func TestFilesThatCanNotBeReadAreBounded(t *testing.T) {
	for _, c := range []struct {
		limit int64
		left  int
	}{{1 << 30, maxBad}, {64 << 10, 64 << 10 / leastCharge}} {
		dir := filepath.Join(t.TempDir(), "parked")
		require.NoError(t, os.Mkdir(dir, 0o700))
		for i := range 2 * maxBad {
			name := nameOf(uint64(i+1), 0, "es")
			if i%2 == 0 {
				name += badSuffix
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("damaged"), 0o600))
		}
		s, _ := open(t, dir, c.limit)
		require.EqualValues(t, 2*maxBad-c.left, s.Removed())
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, c.left)
		require.Equal(t, fmt.Sprintf("%016x", 2*maxBad), left[c.left-1].Name()[:16])
	}
}
