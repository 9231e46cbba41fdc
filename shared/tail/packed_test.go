// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// packed is what gzip makes of text.
func packed(t testing.TB, text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, errors.Join(err, z.Close()))
	return b.String()
}

var packedFiles = Selection{Name: "a", Pattern: "*.gz"}

func TestCompressedFileThatEndsTooEarly(t *testing.T) {
	text, lines := numbered("x", 0, 5000)
	whole := packed(t, text)
	for name, end := range map[string]string{"cut off": "", "cut off and padded": strings.Repeat("\x00", 4096)} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, packedFiles).start()
			r.write("old.gz", whole[:len(whole)*2/3]+end)
			r.pass(20 * time.Second)
			got := len(r.arrived)
			require.Greater(t, got, 1000, "what is complete is delivered at once")
			r.pass(30 * time.Second)
			for range 3 {
				r.pass(2 * time.Minute)
				r.kill()
				r.start()
			}
			r.pass(2 * time.Minute)
			require.LessOrEqual(t, len(r.arrived)-got, 1, "nothing is delivered again")
			require.Len(t, r.gaps, 1)
			require.Len(t, r.streams(), 1)
			require.Equal(t, lines[:1000], r.lines()[:1000])
			files, left := r.tailer.Left()
			require.Zero(t, files)
			require.Zero(t, left)
		})
	}
}

func TestCompressedFileThatEndsTooEarlyAndGrows(t *testing.T) {
	for _, after := range []time.Duration{5 * time.Second, 5 * time.Minute} {
		for _, down := range []bool{false, true} {
			t.Run(after.String(), func(t *testing.T) {
				text, lines := numbered("x", 0, 5000)
				whole := packed(t, text)
				r := newRig(t, packedFiles).start()
				r.write("old.gz", whole[:len(whole)*2/3])
				r.pass(after)
				got := len(r.arrived)
				require.Greater(t, got, 1000)
				if down {
					r.kill()
				}
				r.write("old.gz", whole[len(whole)*2/3:])
				if down {
					r.start()
				}
				r.pass(time.Minute)
				late := after > tornPause
				require.Len(t, r.gaps, map[bool]int{false: 0, true: 1}[late])
				require.Len(t, r.streams(), 1)
				if !late {
					r.wants(lines...)
					return
				}
				// The line at which it ended comes without its beginning, which is in the gap.
				require.Equal(t, lines[:got], r.lines()[:got])
				require.Equal(t, lines[got+1:], r.lines()[got+1:])
			})
		}
	}
}

// nginx writes a member for each flush.
func TestCompressedFileOfManyMembers(t *testing.T) {
	r := newRig(t, packedFiles).start()
	var want []string
	for i := range 30 {
		text, lines := numbered("x", i*100, 100)
		want = append(want, lines...)
		r.write("access.gz", packed(t, text))
		r.pass(time.Duration(i) * time.Second)
		if i%7 == 3 {
			r.kill()
			r.start()
		}
	}
	r.pass(10 * time.Second)
	r.wants(want...)
	require.Len(t, r.streams(), 1)
	require.Empty(t, r.gaps)
	require.Zero(t, r.tailer.Counts().Lost)
}

func TestCompressedFileIsPadded(t *testing.T) {
	r := newRig(t, packedFiles).start()
	r.write("a.gz", packed(t, "one\ntwo")+strings.Repeat("\x00", 100))
	r.write("b.gz", packed(t, "three\n")+"and what is not compressed")
	r.pass(2 * time.Minute)
	r.kill()
	r.start().pass(2 * time.Minute)
	r.wants("one", "two", "three")
	require.Len(t, r.gaps, 1)
	require.Contains(t, r.log.String(), damaged)
}

// Docker compresses a rotated file under its final name, which may take longer than copyPause.
func TestCompressedSlowlyFromAFileThatIsRead(t *testing.T) {
	r := newRig(t, all).start()
	text, lines := numbered("x", 0, 20_000)
	r.write("access.log", text)
	r.pass(2 * time.Second)
	r.rename("access.log", "access.log.1")
	r.pass(2 * time.Second)
	whole := packed(t, text)
	for at := 0; at < len(whole); at += len(whole)/4 + 1 {
		r.write("access.log.1.gz", whole[at:min(len(whole), at+len(whole)/4+1)])
		r.pass(8 * time.Second)
	}
	r.remove("access.log.1")
	r.pass(2 * time.Minute)
	r.wants(lines...)
	require.Empty(t, r.gaps)
}

func TestCompressedFileThatIsRemovedBeforeItsEnd(t *testing.T) {
	text, _ := numbered("x", 0, 5000)
	whole := packed(t, text)
	r := newRig(t, packedFiles).start()
	r.write("old.gz", whole[:len(whole)*2/3])
	r.pass(6 * time.Second)
	require.Empty(t, r.gaps)
	r.remove("old.gz")
	r.pass(5 * time.Second)
	require.Len(t, r.gaps, 1)
	r.pass(2 * time.Minute)
	require.Empty(t, r.store.entries)
}

func TestDamagedCompressedFileIsReadOnce(t *testing.T) {
	text, _ := numbered("x", 0, 5000)
	whole := []byte(packed(t, text))
	copy(whole[len(whole)/2:], "damaged")
	r := newRig(t, packedFiles).start()
	require.NoError(t, os.WriteFile(r.path("old.gz"), whole, 0o644))
	r.pass(10 * time.Second)
	got := len(r.arrived)
	require.NotZero(t, got)
	r.pass(5 * time.Minute)
	r.kill()
	r.start().pass(5 * time.Minute)
	require.Len(t, r.arrived, got)
	require.Len(t, r.streams(), 1)
	require.Equal(t, damaged, r.gaps[0].Reason)
}

// A file that was half read, and compressed while the process was down, is known at once, and to be older than its successor.
func TestCompressedWhileDownComesFirst(t *testing.T) {
	r := newRig(t, all)
	r.write("access.log", "one\n")
	r.start().pass(time.Second)
	r.kill()
	r.write("access.log", "two\n")
	r.rename("access.log", "access.log.1")
	r.compress("access.log.1")
	r.write("access.log", "three\n")
	r.start().look()
	r.wants("one", "two", "three")
	orders := map[string]int64{}
	for _, f := range r.feeds {
		orders[filepath.Base(f.stream.(*reader).generation.name())] = f.stream.(*reader).Order()
	}
	require.Len(t, orders, 2)
	require.Less(t, orders["access.log.1.gz"], orders["access.log"])
}
