// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func open(t testing.TB, environ ...string) (*Output, string) {
	t.Helper()
	vars := map[string]string{"FILE_PATH": filepath.Join(t.TempDir(), "logs")}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	var c Config
	require.NoError(t, settings.Load(vars, &c))
	o, err := Open(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o, vars["FILE_PATH"]
}

// numbers reads the numbers of the records in the files at paths, oldest first, and fails on a line that is no JSON.
func numbers(t *testing.T, paths ...string) []int {
	t.Helper()
	var all []int
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		if strings.HasSuffix(path, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(content))
			require.NoError(t, err)
			content, err = io.ReadAll(z)
			require.NoError(t, err)
		}
		require.True(t, bytes.HasSuffix(content, []byte("\n")))
		for line := range bytes.Lines(content) {
			var r struct{ Offset int }
			require.NoError(t, json.Unmarshal(line, &r), "%s", line)
			all = append(all, r.Offset/sample.Width)
		}
	}
	return all
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Two outputs whose settings lead to one file, of one process or of two, do not write over each other's records.
func TestTwoOutputsDoNotWriteOneFile(t *testing.T) {
	a, dir := open(t)
	b, _ := open(t, "FILE_PATH", dir)
	require.NoError(t, a.Write(t.Context(), sample.Batch(0, 10, sample.Source(1))))
	var blocked *output.Partial
	require.ErrorAs(t, b.Write(t.Context(), sample.Batch(20, 30, sample.Source(1))), &blocked)
	require.ErrorIs(t, blocked.Cause, errShared)
	require.Len(t, blocked.Blocked, 10)
	require.NoError(t, a.Write(t.Context(), sample.Batch(10, 20, sample.Source(1))))
	require.NoError(t, a.Close())
	require.NoError(t, b.Write(t.Context(), sample.Batch(20, 30, sample.Source(1))))
	require.Equal(t, upTo(30), numbers(t, filepath.Join(dir, "web.log")))
}

func TestWritesToTheFileOfTheTarget(t *testing.T) {
	o, dir := open(t)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 5, sample.Source(1))))
	path := filepath.Join(dir, "web.log")
	require.Equal(t, upTo(5), numbers(t, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestRotation(t *testing.T) {
	for _, suffix := range []string{"", ".gz"} {
		t.Run("suffix"+suffix, func(t *testing.T) {
			codec := "none"
			if suffix != "" {
				codec = "gzip"
			}
			o, dir := open(t, "FILE_ROTATE_SIZE", "4", "FILE_NUMBER_OF_FILES", "3", "FILE_COMPRESS", codec)
			path := filepath.Join(dir, "web.log")
			written := 0
			for range 20 {
				require.NoError(t, o.Write(t.Context(), sample.Batch(written, written+7, sample.Source(1))))
				written += 7
			}
			got := numbers(t, path+".2"+suffix, path+".1"+suffix, path)
			require.Equal(t, upTo(written)[written-len(got):], got, "the newest, without a hole")
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, entries, 3)
			for _, p := range []string{path, path + ".1", path + ".2"} {
				if info, err := os.Stat(p); err == nil {
					require.LessOrEqual(t, info.Size(), int64(4<<10))
				}
			}
		})
	}
}

func TestTornLastLineIsCutAwayOnOpening(t *testing.T) {
	for _, whole := range []int{0, 1, 3} {
		for _, torn := range []int{1, 40, 9000} {
			o, dir := open(t)
			var content []byte
			var e record.Encoder
			b := sample.Batch(0, whole, sample.Source(1))
			for i := range b.Records {
				content = append(e.AppendRecord(content, &b.Records[i]), '\n')
			}
			content = append(content, bytes.Repeat([]byte("{"), torn)...)
			path := filepath.Join(dir, "web.log")
			require.NoError(t, os.WriteFile(path, content, 0o600))
			require.NoError(t, o.Write(t.Context(), sample.Batch(whole, whole+2, sample.Source(1))))
			require.Equal(t, upTo(whole+2), numbers(t, path))
		}
	}
}

// A disk that fills within a batch: what was written of it is taken back, and only records of that file are wait.
func TestFailureLeavesNothingBehindAndHoldsNoOtherFile(t *testing.T) {
	o, dir := open(t, "FILE_NAME", "{docker_container}/{target}")
	one, two := sample.Source(1), sample.Source(2)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, one)))
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, two)))

	good := o.files["web-2/web"].handle
	bad, err := os.Open(filepath.Join(dir, "web-2/web")) // read only, so that writing fails
	require.NoError(t, err)
	o.files["web-2/web"].handle = bad
	err = o.Write(t.Context(), sample.Batch(1, 3, one, two))
	var partial *output.Partial
	require.ErrorAs(t, err, &partial)
	require.Empty(t, partial.Retry)
	require.Equal(t, []int{1, 3}, blocked(partial))
	for _, b := range partial.Blocked {
		require.Equal(t, "file web-2/web", b.Destination)
		require.Contains(t, b.Reason, "web-2/web")
	}
	require.NoError(t, bad.Close())

	o.files["web-2/web"].handle = good
	require.NoError(t, o.Write(t.Context(), sample.Batch(1, 3, two)))
	require.Equal(t, upTo(3), numbers(t, filepath.Join(dir, "web-1/web")))
	require.Equal(t, upTo(3), numbers(t, filepath.Join(dir, "web-2/web")))
}

func TestFullDiskIsRecoveredFrom(t *testing.T) {
	o, dir := open(t)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 10, sample.Source(1))))
	// A limit on the size of files stands for the full disk: the kernel writes a part and then refuses.
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &was))
	limit := was
	limit.Cur = 300_000
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	err := o.Write(t.Context(), sample.Batch(10, 5000, sample.Source(1)))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &was))
	require.ErrorContains(t, err, "web.log")
	require.Equal(t, upTo(10), numbers(t, filepath.Join(dir, "web.log")))
	require.NoError(t, o.Write(t.Context(), sample.Batch(10, 5000, sample.Source(1))))
	require.Equal(t, upTo(5000), numbers(t, filepath.Join(dir, "web.log")))
}

func TestFileThatWasMovedAwayIsMadeAgain(t *testing.T) {
	o, dir := open(t)
	path := filepath.Join(dir, "web.log")
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1))))
	require.NoError(t, os.Rename(path, path+".old"))
	require.NoError(t, o.Write(t.Context(), sample.Batch(3, 5, sample.Source(1))))
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, sample.Source(1))))
	require.Equal(t, upTo(2), numbers(t, path))
}

func TestManyFilesAreNotAllKeptOpen(t *testing.T) {
	o, dir := open(t, "FILE_NAME", "{docker_container}", "FILE_SYNC", "false")
	for round := range 2 {
		for i := range mostOpen + 50 {
			require.NoError(t, o.Write(t.Context(), sample.Batch(round, round+1, sample.Source(i))))
		}
		require.LessOrEqual(t, len(o.files), mostOpen)
	}
	for i := range mostOpen + 50 {
		require.Equal(t, upTo(2), numbers(t, filepath.Join(dir, fmt.Sprintf("web-%d", i))))
	}
}

// One batch for more files than the process may open at all.
func TestManyFilesInOneBatchWithFewDescriptors(t *testing.T) {
	o, dir := open(t, "FILE_NAME", "{docker_container}/log")
	sources := make([]*record.Source, 300)
	for i := range sources {
		sources[i] = sample.Source(i)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	limit := was
	limit.Cur = uint64(len(fds) + 5)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	err1 := o.Write(t.Context(), sample.Batch(0, 2, sources...))
	err2 := o.Write(t.Context(), sample.Batch(2, 4, sources...))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
	require.NoError(t, err1)
	require.NoError(t, err2)
	for i := range sources {
		require.Equal(t, upTo(4), numbers(t, filepath.Join(dir, fmt.Sprintf("web-%d/log", i))))
	}
}

func blocked(p *output.Partial) (index []int) {
	for _, b := range p.Blocked {
		index = append(index, b.Index)
	}
	return index
}

// What stands in the way of one file (a link to something else, a directory, a FIFO) holds back that file alone, and what
// the link points to is left alone.
func TestNoLinkIsFollowedBelowTheDirectory(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	elsewhere := t.TempDir()
	for name, obstruct := range map[string]func(dir string) error{
		"link": func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/web-1", 0o755), os.Symlink(victim, dir+"/web-1/log"))
		},
		"linked dir": func(dir string) error { return os.Symlink(elsewhere, dir+"/web-1") },
		"directory":  func(dir string) error { return os.MkdirAll(dir+"/web-1/log", 0o755) },
		"no dir":     func(dir string) error { return os.WriteFile(dir+"/web-1", nil, 0o600) },
		"FIFO": func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/web-1", 0o755), unix.Mkfifo(dir+"/web-1/log", 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(victim, []byte("no newline"), 0o600))
			o, dir := open(t, "FILE_NAME", "{docker_container}/log")
			require.NoError(t, obstruct(dir))
			var partial *output.Partial
			require.ErrorAs(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1), sample.Source(2))), &partial)
			require.Equal(t, []int{0, 2, 4}, blocked(partial))
			require.Contains(t, partial.Blocked[0].Reason, filepath.Join(dir, "web-1"))
			require.Equal(t, "file web-1/log", string(o.AppendDestination(nil, &sample.Batch(0, 1, sample.Source(1)).Records[0])))
			require.Equal(t, upTo(3), numbers(t, filepath.Join(dir, "web-2/log")))
			content, err := os.ReadFile(victim)
			require.NoError(t, err)
			require.Equal(t, "no newline", string(content))
			entries, err := os.ReadDir(elsewhere)
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

func TestTheDirectoryItselfMayBeALink(t *testing.T) {
	real, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(real, link))
	o, _ := open(t, "FILE_PATH", link)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, sample.Source(1))))
	require.Equal(t, upTo(2), numbers(t, filepath.Join(real, "web.log")))
}

// A link that waits where a file is compressed to is replaced, not followed.
func TestRotationFollowsNoLink(t *testing.T) {
	o, dir := open(t, "FILE_ROTATE_SIZE", "4", "FILE_COMPRESS", "gzip")
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o600))
	for _, name := range []string{"web.log.1.gz.partial", "web.log.1", "web.log.1.gz"} {
		require.NoError(t, os.Symlink(victim, filepath.Join(dir, name)))
	}
	for i := range 60 {
		require.NoError(t, o.Write(t.Context(), sample.Batch(i, i+1, sample.Source(1))))
	}
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "untouched", string(content))
	numbers(t, filepath.Join(dir, "web.log.1.gz"))
}

func TestKnowsItsOwnFiles(t *testing.T) {
	o, dir := open(t)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, sample.Source(1))))
	path := filepath.Join(dir, "web.log")
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	require.True(t, o.Owns(path, 0, 0), "by where it is")
	require.True(t, o.Owns("/mounted/elsewhere/web.log", st.Dev, st.Ino), "by its inode")
	link := filepath.Join(t.TempDir(), "way")
	require.NoError(t, os.Symlink(dir, link))
	require.True(t, o.Owns(filepath.Join(link, "web.log"), 0, 0))
	require.True(t, o.Owns(filepath.Join(link, "not-there-yet.log"), 0, 0))
	require.False(t, o.Owns(dir+"-other/web.log", 0, 0))
	require.False(t, o.Owns(filepath.Join(filepath.Dir(dir), "app.log"), st.Dev, st.Ino+1))
}

func TestConcurrentBatchesDoNotMix(t *testing.T) {
	o, dir := open(t, "FILE_ROTATE_SIZE", "64", "FILE_NUMBER_OF_FILES", "100")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				if err := o.Write(t.Context(), sample.Batch(i*10, i*10+10, sample.Source(w))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, numbers(t, paths...), 4*20*10)
}

func TestNames(t *testing.T) {
	hostile := record.NewSource("k", "d", "stdout", "../../etc/passwd",
		[]record.Tag{{Key: "long", Value: strings.Repeat("x", 400)}, {Key: "dot", Value: ".."}}, nil)
	for pattern, want := range map[string]string{
		"{target}":        "_._.._etc_passwd",
		"{dot}/x":         "_./x",
		"{absent}":        "none",
		"{long}":          strings.Repeat("x", maxName),
		"a/{declaration}": "a/d",
	} {
		p, err := parsePattern(pattern, time.UTC)
		require.NoError(t, err)
		require.Equal(t, want, string(p.appendName(nil, hostile, 0)))
	}
	for _, bad := range []string{"", "/abs", "../x", "a/../x", "{", "{}", "}", "a//b", "dir/", "{{x}}", "{yyyy.mm.dd}", "{yyyy-MM-d}", "{a b}", "{%}"} {
		_, err := parsePattern(bad, time.UTC)
		require.Error(t, err, bad)
	}
}

// A batch over midnight, in the zone of choice, is divided among the files of two days, whatever batches come later.
func TestFilesByDay(t *testing.T) {
	o, dir := open(t, "FILE_NAME", "{target}/{yyyy.MM.dd}/{YYYY}w{ww}.log", "FILE_TIME_ZONE", "Asia/Shanghai")
	b := sample.Batch(0, 4, sample.Source(1))
	midnight := time.Date(2025, 12, 31, 16, 0, 0, 0, time.UTC) // in Shanghai
	for i, at := range []time.Duration{-time.Second, time.Second, -2 * time.Second, 0} {
		b.Records[i].Time = midnight.Add(at).UnixNano()
	}
	require.NoError(t, o.Write(t.Context(), b))
	require.Equal(t, []int{0, 2}, numbers(t, filepath.Join(dir, "web/2025.12.31/2026w01.log")))
	require.Equal(t, []int{1, 3}, numbers(t, filepath.Join(dir, "web/2026.01.01/2026w01.log")))
	require.Equal(t, "file web/2026.01.01/2026w01.log", string(o.AppendDestination(nil, &b.Records[1])))
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"FILE_PATH": "", "FILE_NAME": "../x", "FILE_ROTATE_SIZE": "0", "FILE_NUMBER_OF_FILES": "1",
		"FILE_PERMISSIONS": "rw-", "FILE_FORMAT": "xml", "FILE_COMPRESS": "lzma",
	} {
		vars := map[string]string{"FILE_PATH": t.TempDir()}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

func TestDirectoryThatCannotBeMadeIsNamed(t *testing.T) {
	var c Config
	require.NoError(t, settings.Load(map[string]string{"FILE_PATH": "/proc/nowhere"}, &c))
	_, err := Open(c)
	require.ErrorContains(t, err, "FILE_PATH")
	require.ErrorContains(t, err, "/proc/nowhere")
}

func BenchmarkWrite(b *testing.B) {
	o, _ := open(b, "FILE_SYNC", "false", "FILE_ROTATE_SIZE", "65536")
	batch := sample.Batch(0, 10_000, sample.Source(1))
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
