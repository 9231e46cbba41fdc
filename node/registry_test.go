// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// entry is one file in Filebeat's registry, as version 6.1 writes it.
const entry = `{"source":%q,"offset":%d,"timestamp":"2026-01-02T03:04:05.678+08:00","ttl":-1,"type":"log","FileStateOS":{"inode":%d,"device":%d}}`

func inodeOf(t *testing.T, path string) (inode, device uint64) {
	info, err := os.Stat(path)
	require.NoError(t, err)
	s := info.Sys().(*syscall.Stat_t)
	return s.Ino, s.Dev
}

// The change from log-pilot sends nothing twice and skips nothing.
func TestTakeOverFromFilebeat(t *testing.T) {
	const dir = "/var/log/pods/shop_web-0_uid/app/"
	const first, second = "2026-01-02T03:04:05Z stdout F delivered by log-pilot\n", "2026-01-02T03:04:06Z stdout F while both were down\n"
	m := newMachine(t, "collect: [{name: r, match: {}, logs: {console: stdout}}]")
	m.write(dir+"0.log", first+second)
	m.write(dir+"1.log", second) // which Filebeat has not seen
	m.write(dir+"2.log", second) // whose inode once was another, longer file's
	pilot := t.TempDir()
	one, device := inodeOf(t, m.root+dir+"0.log")
	two, _ := inodeOf(t, m.root+dir+"2.log")
	registry := "[" + fmt.Sprintf(entry, "/host"+dir+"0.log", len(first), one, device) + "," + fmt.Sprintf(entry, "/x", 5000, two, device) + "]"
	require.NoError(t, os.WriteFile(filepath.Join(pilot, "registry"), []byte(registry), 0o600))
	before := filebeatDir
	filebeatDir = pilot
	t.Cleanup(func() { filebeatDir = before })
	stop := m.run()
	require.Equal(t, []string{"while both were down", "while both were down", "while both were down"}, messages(m.await(3)))
	stop()
	m.write(dir+"0.log", first)
	stop = m.run()
	require.Len(t, m.await(4), 4)
	stop()
}

func TestRegistries(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	log := slog.New(slog.DiscardHandler)
	require.Nil(t, takeOver(dir, state, time.Now(), log))
	write := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "registry"), []byte(text), 0o600))
	}
	for _, wrong := range []string{"", "{}", "[{]", "hello", `[{"offset":"x"}]`} {
		write(wrong)
		require.Nil(t, takeOver(dir, state, time.Now(), log), wrong)
	}
	write("[" + fmt.Sprintf(entry, "/a", 7, 3, 2) + "," + fmt.Sprintf(entry, "/a", 5, 3, 2) + `,{"offset":9}]`)
	r := takeOver(dir, state, time.Now(), log)
	require.Equal(t, map[find.Inode]int64{{Dev: 2, Ino: 3}: 7}, r.offsets)
	require.EqualValues(t, 7, r.delivered(find.Inode{Dev: 2, Ino: 3}))
	require.Zero(t, r.delivered(find.Inode{Dev: 2, Ino: 4}))
	r = takeOver(dir, state, time.Now().Add(-takeoverTime-time.Second), log)
	require.Zero(t, r.delivered(find.Inode{Dev: 2, Ino: 3}), "the time for it is over")
	require.NoError(t, os.WriteFile(filepath.Join(state, "checkpoints.db"), nil, 0o600))
	require.Nil(t, takeOver(dir, state, time.Now(), log), "not the first start")
}
