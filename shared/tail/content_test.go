// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/tail/find"
)

// compress does what gzip does: name.gz, with the time of name, and then name is removed.
func (r *rig) compress(name string) {
	r.Helper()
	text, err := os.ReadFile(r.path(name))
	require.NoError(r, err)
	info, err := os.Stat(r.path(name))
	require.NoError(r, err)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = z.Write(text)
	require.NoError(r, err)
	require.NoError(r, z.Close())
	require.NoError(r, os.WriteFile(r.path(name+".gz"), b.Bytes(), 0o644))
	require.NoError(r, os.Chtimes(r.path(name+".gz"), info.ModTime(), info.ModTime()))
	r.remove(name)
}

func TestCompressHalfRead(t *testing.T) {
	for name, w := range map[string]Selection{"one file": access, "compressed ones match": all} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, w).start()
			r.write("access.log", "one\n")
			r.pass(time.Second)
			r.kill()
			r.write("access.log", "two\n")
			r.rename("access.log", "access.log.1")
			r.compress("access.log.1")
			r.write("access.log", "three\n")
			r.start().pass(5 * time.Second)
			r.wants("one", "two", "three")
			require.Len(t, r.streams(), 2)
			r.kill()
			r.start().pass(2 * time.Minute)
			r.wants("one", "two", "three")
			r.rename("access.log.1.gz", "access.log.2.gz")
			r.pass(time.Minute)
			r.wants("one", "two", "three")
		})
	}
}

func TestCompressedWhileItIsRead(t *testing.T) {
	r := newRig(t, all).start()
	r.write("access.log", "one\ntwo\n")
	r.pass(time.Second)
	r.blocked = true
	r.write("access.log", "three\n")
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.compress("access.log.1")
	r.pass(10 * time.Second)
	r.blocked = false
	r.pass(10 * time.Second)
	r.wants("one", "two", "three")
	r.kill()
	r.start().pass(10 * time.Second)
	r.wants("one", "two", "three")
}

func TestCompressedOnItsOwnIsReadOnce(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*.gz"}).start()
	text, lines := numbered("x", 0, 200000) // several windows
	r.write("old.log", text)
	r.compress("old.log")
	r.pass(10 * time.Second)
	r.wants(lines...)
	r.kill()
	r.start().pass(10 * time.Second)
	r.wants(lines...)
	r.rename("old.log.gz", "older.log.gz")
	r.pass(time.Minute)
	r.wants(lines...)
}

func TestCompressedAndDamaged(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "*"}).start()
	text, lines := numbered("x", 0, 1000)
	r.write("old.log", text)
	r.pass(time.Second)
	r.write("new.log", strings.ReplaceAll(text, "x", "y"))
	r.compress("new.log")
	b, err := os.ReadFile(r.path("new.log.gz"))
	require.NoError(t, err)
	copy(b[len(b)/2:], "damaged")
	require.NoError(t, os.WriteFile(r.path("new.log.gz"), b, 0o644))
	r.pass(10 * time.Second)
	for _, l := range lines {
		require.Contains(t, r.lines(), l)
	}
	require.NotZero(t, r.tailer.Counts().Lost)
	require.Contains(t, r.log.String(), "damaged")
	r.write("plain.gz", "not compressed at all\n")
	r.pass(5 * time.Second)
	require.Contains(t, r.lines(), "not compressed at all")
}

func TestSymlinkSwap(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "current.log"}, Selection{Name: "b", Pattern: "config/*.log"}).start()
	r.write("app-1.log", "one\n")
	require.NoError(t, os.Symlink("app-1.log", r.path("current.log")))
	r.write("config/..2026_01/x.log", "x1\n")
	require.NoError(t, os.Symlink("..2026_01", r.path("config/..data")))
	require.NoError(t, os.Symlink("..data/x.log", r.path("config/x.log")))
	r.pass(time.Second)
	r.write("app-1.log", "two\n")
	r.write("app-2.log", "three\n")
	require.NoError(t, os.Symlink("app-2.log", r.path("next")))
	r.rename("next", "current.log")
	r.write("config/..2026_02/x.log", "x2\n")
	require.NoError(t, os.Symlink("..2026_02", r.path("config/..tmp")))
	r.rename("config/..tmp", "config/..data")
	r.pass(time.Second)
	r.write("app-1.log", "late\n")
	r.pass(2 * time.Second)
	r.wants("one", "two", "three", "late", "x1", "x2")
}

func TestHardLinksAndOverlappingPatterns(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "{*.log,logs/**}"}, Selection{Name: "b", Pattern: "**/*.log"}).start()
	r.write("logs/x.log", "one\n")
	require.NoError(t, os.Link(r.path("logs/x.log"), r.path("x.log")))
	require.NoError(t, os.Symlink("logs/x.log", r.path("y.log")))
	r.pass(2 * time.Second)
	r.wants("one", "one")
	require.NotEqual(t, r.arrived[0].declaration, r.arrived[1].declaration)
	require.Len(t, r.streams(), 1)
	r.remove("x.log")
	r.write("logs/x.log", "two\n")
	r.pass(10 * time.Second)
	r.wants("one", "one", "two", "two")
}

func TestEverySplitOfALine(t *testing.T) {
	text := "naïve 日本 🙂\r\nsecond\n\nthird\r\n"
	for cut := 1; cut < len(text); cut++ {
		r := newRigIn(t, t.TempDir(), access)
		r.start()
		r.write("access.log", text[:cut])
		r.pass(time.Second)
		if cut%2 == 0 {
			r.kill()
			r.start()
		}
		r.write("access.log", text[cut:])
		r.pass(time.Second)
		r.wants("naïve 日本 🙂", "second", "", "third")
		r.kill()
	}
}

func TestUnterminatedAtSIGTERM(t *testing.T) {
	r := newRig(t, access, Selection{Name: "late", Pattern: "late.log"}).start()
	r.write("access.log", "one\ntw")
	r.pass(time.Minute)
	r.wants("one")
	r.write("access.log", "o")
	r.write("late.log", "not seen yet")
	require.NoError(t, r.tailer.Drain(t.Context()))
	r.pump()
	r.look()
	r.wants("one", "two", "not seen yet")
	files, left := r.tailer.Left()
	require.Zero(t, files)
	require.Zero(t, left)
	require.Empty(t, r.feeds)
}

func TestUnterminatedAndRotated(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "one\ntw")
	r.pass(time.Second)
	r.rename("access.log", "access.log.1")
	r.pass(2 * time.Second)
	r.write("access.log.1", "o")
	r.pass(4 * time.Second)
	r.wants("one")
	r.pass(4 * time.Second)
	r.wants("one", "two")
}

func TestOneGiBWithoutNewline(t *testing.T) {
	r := newRig(t, access)
	r.chunk = 2 << 20
	r.start()
	f, err := os.Create(r.path("access.log"))
	require.NoError(t, err)
	block := bytes.Repeat([]byte("x"), 1<<20)
	for range 64 { // the size of the line makes no difference to what is held of it
		_, err = f.Write(block)
		require.NoError(t, err)
	}
	_, err = f.WriteString("\nend\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r.pass(time.Second)
	require.Len(t, r.arrived, 65)
	for i, l := range r.arrived[:64] {
		require.Len(t, l.text, 1<<20)
		require.Equal(t, i < 63, l.truncated, i)
	}
	require.Equal(t, "end", r.arrived[64].text)
}

func TestNULAndBadUTF8(t *testing.T) {
	r := newRig(t, access).start()
	r.write("access.log", "a\x00b\n\xff\xfe\n\xe6\x97\n")
	r.pass(time.Second)
	r.wants("a\x00b", "\xff\xfe", "\xe6\x97")
}

func TestSparseHole(t *testing.T) {
	r := newRig(t, access).start()
	f, err := os.Create(r.path("access.log")) // not for appending: it continues at its offset after a truncation
	require.NoError(t, err)
	defer f.Close()
	text, before := numbered("before", 0, 10000)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	r.pass(time.Second)
	r.truncate("access.log")
	_, err = f.WriteString("after\n")
	require.NoError(t, err)
	r.pass(10 * time.Second)
	r.wants(append(before, "after")...)
}

func TestRefusesWhatIsNoLog(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "logs/*"})
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(outside+"/secret", []byte("secret\n"), 0o644))
	r.write("logs/x.log", "one\n")
	r.write("inside", "secret\n")
	require.NoError(t, unix.Mkfifo(r.path("logs/fifo"), 0o644))
	require.NoError(t, unix.Mknod(r.path("logs/socket"), unix.S_IFSOCK|0o644, 0))
	require.NoError(t, os.Symlink("../inside", r.path("logs/relative")))
	require.NoError(t, os.Symlink(outside+"/secret", r.path("logs/absolute")))
	require.NoError(t, os.Symlink(outside, r.path("logs/directory")))
	require.NoError(t, os.Symlink("/dev/null", r.path("logs/device")))
	require.NoError(t, os.Symlink(r.path("logs/sub/y.log"), r.path("logs/within")))
	r.write("logs/sub/y.log", "two\n")
	r.start()
	r.set(append(r.selections, Selection{Name: "deep", Pattern: r.path("logs/*/secret"), Outputs: []string{"out"}})...)
	r.pass(10 * time.Second)
	r.wants("one", "two")
	problems := r.tailer.Problems()
	said := map[string]string{}
	for _, p := range problems {
		said[strings.TrimPrefix(p.Path, r.dir)] = p.Error
	}
	require.Contains(t, said["/logs/fifo"], "FIFO")
	require.Contains(t, said["/logs/socket"], "socket")
	for _, out := range []string{"/logs/relative", "/logs/absolute", "/logs/directory", "/logs/device"} {
		require.Contains(t, said[out], "leads out", out)
	}
	require.Equal(t, 1, strings.Count(r.log.String(), "logs/fifo"))
}

func TestPatternsThatAreRefused(t *testing.T) {
	r := newRig(t).start()
	for _, p := range []string{"relative/*.log", "/logs/../etc/*", "/logs/{a,../b}/*.log", "/logs/", "/logs/[", "/logs/{a,b", "/a/" + strings.Repeat("{a,b}", 9)} {
		errs := r.tailer.Put(Origin{Root: find.Host(), Selections: []Selection{{Name: "n", Pattern: p}}})
		require.Len(t, errs, 1, p)
		require.Contains(t, errs[0].Error(), "declaration n", p)
	}
}

func TestPatterns(t *testing.T) {
	files := []string{"a.log", "b.log", "b.txt", "d/a.log", "d/e/a.log", "d/e/f/c.log", "[x].log", "a,b.log", "日.log"}
	for pattern, want := range map[string]string{
		"*.log":             "a.log b.log [x].log a,b.log 日.log",
		"?.log":             "a.log b.log 日.log",
		"[ab].log":          "a.log b.log",
		"[^a].*":            "b.log b.txt 日.log",
		"**/a.log":          "a.log d/a.log d/e/a.log",
		"d/**":              "d/a.log d/e/a.log d/e/f/c.log",
		"**/e/**/*.log":     "d/e/a.log d/e/f/c.log",
		"{a,b}.{log,txt}":   "a.log b.log b.txt",
		"d/{a,e/{a,f/c}}.*": "d/a.log d/e/a.log d/e/f/c.log",
		`\[x\].log`:         "[x].log",
		"[[]x].log":         "[x].log",
		"d//./e/a.log":      "d/e/a.log",
		"none/*":            "",
	} {
		t.Run("pattern", func(t *testing.T) { // its name becomes part of the directory's
			r := newRig(t, Selection{Name: "a", Pattern: "x"})
			for _, f := range files {
				r.write(f, f+"\n")
			}
			r.selections[0].Pattern = r.dir + "/" + pattern
			r.start().pass(time.Second)
			r.wants(strings.Fields(want)...)
		})
	}
}

func TestExclude(t *testing.T) {
	r := newRig(t, Selection{Name: "a", Pattern: "**/*", Exclude: []string{"*.gz", "skip/**"}})
	for _, f := range []string{"a.log", "b.gz", "skip/c.log", "d/e.gz"} {
		r.write(f, f+"\n")
	}
	r.start().pass(5 * time.Second)
	r.wants("a.log")
}
