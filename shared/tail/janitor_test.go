// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Removed files that are not read hold a bounded part of the disk; log-pilot held them open for ever (175, 276).
func TestCapOnBytesOfDeletedFiles(t *testing.T) {
	r := newRig(t, access)
	r.cfg.MaxDeleted = 64 << 10
	r.start()
	r.write("access.log", "one\n")
	r.pass(time.Second)
	r.blocked = true
	text, lines := numbered("x", 0, 4000) // 36 kB
	for i := range 3 {
		r.write("access.log", strings.ReplaceAll(text, "x", fmt.Sprint(i)))
		r.pass(time.Second)
		r.remove("access.log")
		r.pass(time.Second)
	}
	r.blocked = false
	r.pass(10 * time.Second)
	counts := r.tailer.Counts()
	require.EqualValues(t, 2*len(text), counts.Lost)
	require.LessOrEqual(t, counts.HeldBytes, int64(64<<10))
	require.Len(t, r.arrived, 1+len(lines))
	require.Contains(t, r.log.String(), "REMORA_MAX_DELETED_BYTES")
}

func TestDeleteAfter(t *testing.T) {
	r := newRig(t, access, Selection{Name: "b", Pattern: "b.log*"})
	r.deleteAfter = time.Minute
	r.start()
	for _, f := range []string{"access.log", "b.log", "b.log.1", "b.log.old"} {
		r.write(f, f+"\n")
	}
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.write("access.log", "new\n")
	r.pass(50 * time.Second)
	require.FileExists(t, r.path("access.log.1"))
	require.FileExists(t, r.path("b.log.1"))
	r.write("b.log.1", "late\n")
	r.pass(30 * time.Second)
	require.NoFileExists(t, r.path("access.log.1"))
	require.FileExists(t, r.path("b.log.1"), "it was written lately")
	r.blocked = true
	r.write("b.log.1", "later\n")
	r.pass(5 * time.Minute)
	require.FileExists(t, r.path("b.log.1"), "not all of it is acknowledged")
	r.blocked = false
	r.pass(2 * time.Minute)
	require.NoFileExists(t, r.path("b.log.1"))
	for _, f := range []string{"access.log", "b.log", "b.log.old"} {
		require.FileExists(t, r.path(f))
	}
	r.wants("access.log", "b.log", "b.log.1", "b.log.old", "new", "late", "later")
}

func TestDropPageCache(t *testing.T) {
	r := newRig(t, access)
	r.cfg.DropPageCache = true
	r.chunk = 2 << 20
	r.start()
	text, _ := numbered("x", 0, 1<<20)
	r.write("access.log", text)
	r.blocked = true
	r.pass(time.Second)
	require.Zero(t, r.drops(), "what is still to be read stays")
	r.blocked = false
	r.pass(time.Second)
	require.EqualValues(t, len(text)&^(dropStep-1), r.drops())
	cached := residentPages(t, r.path("access.log"))
	for i, in := range cached[:(len(text)&^(dropStep-1))/os.Getpagesize()] {
		require.Zero(t, in&1, "page %d", i)
	}
}

// drops does the cleaner's work, and returns up to where files were given back.
func (r *rig) drops() (to int64) {
	r.Helper()
	for {
		select {
		case p := <-r.tailer.cleaner.work:
			require.NoError(r, p.drop())
			to = max(to, p.to)
		default:
			return to
		}
	}
}

// residentPages asks which pages of a file are in the page cache (mincore(2)): bit 0 of each byte.
func residentPages(t *testing.T, path string) []byte {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(m)) }()
	return mincore(t, m)
}
