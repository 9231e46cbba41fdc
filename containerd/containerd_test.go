// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/loggers"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/stream"
)

// runMain makes the test binary the logger itself, so that a test can kill it.
const runMain = "REMORA_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	code := m.Run()
	if builder.path != "" {
		_ = os.RemoveAll(filepath.Dir(builder.path))
	}
	os.Exit(code)
}

// shim plays the part of containerd's shim to a logger that is a process of its own.
type shim struct {
	t              *testing.T
	bundle         string
	stdout, stderr *os.File // writing ends
	r              [2]*os.File
	logger         *exec.Cmd
	messages       bytes.Buffer
}

// start starts a logger and waits until it is ready.
func start(t *testing.T, id string, args ...string) *shim {
	t.Helper()
	s := &shim{t: t, bundle: t.TempDir()}
	config := `{"process":{"env":["PASSWORD=hunter2","aliyun_logs_web=stdout","PATH=/bin"]},"annotations":{"nerdctl/name":"web","secret":"hunter2"},
		"mounts":[{"destination":"/logs","type":"bind","source":"/host/logs"},{"destination":"/proc","type":"proc","source":"proc"}]}`
	require.NoError(t, os.WriteFile(filepath.Join(s.bundle, "config.json"), []byte(config), 0o600))
	var err error
	s.r[0], s.stdout, err = os.Pipe()
	require.NoError(t, err)
	s.r[1], s.stderr, err = os.Pipe()
	require.NoError(t, err)
	ready, readyW, err := os.Pipe()
	require.NoError(t, err)
	s.logger = exec.Command(os.Args[0], args...)
	s.logger.Dir, s.logger.Stderr = s.bundle, &s.messages
	s.logger.Env = []string{runMain + "=1", "GORACE=" + os.Getenv("GORACE"), "CONTAINER_ID=" + id, "CONTAINER_NAMESPACE=default"}
	s.logger.ExtraFiles = []*os.File{s.r[0], s.r[1], readyW}
	began := time.Now()
	require.NoError(t, s.logger.Start())
	for _, f := range []*os.File{s.r[0], s.r[1], readyW} {
		require.NoError(t, f.Close())
	}
	b, err := io.ReadAll(ready)
	require.NoError(t, err)
	require.Equal(t, []byte{0}, b, "binary-v2 wants a byte")
	t.Logf("ready after %v", time.Since(began))
	require.NoError(t, ready.Close())
	t.Cleanup(func() { s.stdout.Close(); s.stderr.Close(); _ = s.logger.Process.Kill(); _ = s.logger.Wait() })
	return s
}

// drained waits until the logger has read all that is in a pipe.
func (s *shim) drained(w *os.File) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return unread(s.t, w) == 0 }, 5*time.Second, time.Millisecond)
}

// delete is what the shim does when the task is deleted.
func (s *shim) delete() error {
	s.t.Helper()
	s.stdout.Close()
	s.stderr.Close()
	require.NoError(s.t, s.logger.Process.Signal(syscall.SIGTERM))
	return s.logger.Wait()
}

// records reads all that the spool has of the one container in it, as the node agent does.
func records(t *testing.T, dir string) (all []record.Record) {
	t.Helper()
	s := spool.Open(spool.Options{Dir: dir, Role: spool.Reader, MaxBytes: 1 << 30, SyncInterval: time.Second, Log: quiet})
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	stored, err := s.Stored()
	require.NoError(t, err)
	require.Len(t, stored, 1)
	m, err := manifest.DecodeContainer(stored[0].Manifest)
	require.NoError(t, err)
	require.Equal(t, stored[0].Key, m.Key())
	l, err := s.Follow(stored[0].Key, spool.LogOptions{Raw: true, MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	require.NoError(t, err)
	v := l.View("v")
	f := cut.NewChunks(&record.Source{}, v, 1<<20, time.Second.Nanoseconds())
	b := record.NewBatch(4 << 20)
	for off := int64(0); ; {
		b.Reset()
		data := b.Free()
		n, err := v.ReadAt(data, off)
		var gap *stream.Gap
		if errors.As(err, &gap) {
			off = gap.To
			all = append(all, record.Record{Marker: true, Line: []byte(gap.Error()), Offset: gap.Records})
			continue
		}
		ended := errors.Is(err, io.EOF)
		if !ended {
			require.NoError(t, err)
		}
		b.Keep(n)
		used := f.Cut(b, data[:n], off, 0, ended)
		require.NoError(t, f.Err())
		off += int64(used)
		for _, r := range b.Records {
			r.Line = bytes.Clone(r.Line)
			all = append(all, r)
		}
		if ended {
			return all
		}
		require.True(t, used > 0 || n > 0, "the log has not ended")
	}
}

var quiet = slog.New(slog.DiscardHandler)

func lines(all []record.Record, std record.Std) (text []string) {
	for _, r := range all {
		if r.Std == std {
			text = append(text, string(r.Line))
		}
	}
	return text
}

func TestCapture(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := start(t, "c1", "spool", dir, "target", "orders", "no-such", "x")
	began := time.Now()
	fmt.Fprintf(s.stdout, "out 1\nout ")
	s.drained(s.stdout) // so that the pieces are read apart
	fmt.Fprintf(s.stderr, "err 1\n")
	s.drained(s.stderr)
	fmt.Fprintf(s.stdout, "2\nlast words")
	require.NoError(t, s.delete())
	all := records(t, dir)
	require.Equal(t, []string{"out 1", "out 2", "last words"}, lines(all, record.Stdout))
	require.Equal(t, []string{"err 1"}, lines(all, record.Stderr))
	for i, r := range all {
		require.False(t, r.Truncated)
		require.WithinRange(t, time.Unix(0, r.Time), began, time.Now(), "record %d", i)
	}

	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		require.NoError(t, err)
		st, err := e.Info()
		require.NoError(t, err)
		require.Zero(t, st.Mode()&0o077, "%s can be read by others", path)
		if !e.IsDir() {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(b), "hunter2", path)
		}
		return nil
	}))
	stored, err := spool.OpenWriter(spool.Options{Dir: dir, Log: quiet}).Stored()
	require.NoError(t, err)
	require.True(t, stored[0].Ended)
	m, err := manifest.DecodeContainer(stored[0].Manifest)
	require.NoError(t, err)
	require.Equal(t, []string{"aliyun_logs_web=stdout"}, m.Env)
	require.Equal(t, map[string]string{"nerdctl/name": "web"}, m.Labels)
	require.Equal(t, map[string]string{"/logs": "/host/logs"}, m.Mounts)
	require.Equal(t, map[string]string{"target": "orders"}, m.Options)
	require.Equal(t, []string{`parameter "no-such" is not known`}, m.Problems)
	require.NotContains(t, s.messages.String(), "hunter2")
}

// The bytes of a container come out as they went in: lines at the edges of pipes and segments, binary ones, long ones.
func TestAllBytes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := start(t, "c1", "spool", dir)
	var want []string
	for i, n := range []int{0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 65536, 1 << 20, 5 << 20} {
		line := bytes.Repeat([]byte{byte(i + 128)}, n)
		want = append(want, string(line))
		_, err := s.stdout.Write(append(line, '\n'))
		require.NoError(t, err)
	}
	require.NoError(t, s.delete())
	var got []string
	var open string
	for _, r := range records(t, dir) {
		if open += string(r.Line); !r.Truncated {
			got, open = append(got, open), ""
		}
	}
	require.True(t, slices.Equal(want, got))
}

// A spool that can't be used keeps no container from starting, running and ending; what is lost is counted.
func TestSpoolThatCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := start(t, "c1", "spool", filepath.Join(file, "spool"))
	for range 1000 {
		fmt.Fprintf(s.stdout, "%01000d\n", 7) // more than a pipe holds
	}
	require.Error(t, s.delete())
	require.Contains(t, s.messages.String(), "1000 lines (1001000 bytes) were discarded")
}

func TestSpoolThatIsThereLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	require.NoError(t, os.Mkdir(dir, 0o777))
	require.NoError(t, os.Chmod(dir, 0o777))
	s := start(t, "c1", "spool", dir)
	fmt.Fprintf(s.stdout, "lost\nlost\n")
	s.drained(s.stdout)
	require.NoError(t, os.Chmod(dir, 0o700))
	fmt.Fprintf(s.stdout, "and")
	require.Eventually(t, func() bool { return len(entries(dir)) > 0 }, 5*time.Second, 5*time.Millisecond)
	fmt.Fprintf(s.stdout, "stored\n")
	require.NoError(t, s.delete())
	all := records(t, dir)
	require.True(t, all[0].Marker)
	require.EqualValues(t, 2, all[0].Offset, "lines in the gap")
	require.Contains(t, lines(all, record.Stdout)[0], "stored")
}

func entries(dir string) []os.DirEntry {
	all, _ := os.ReadDir(dir)
	return all
}

// unread is how many bytes a pipe holds.
func unread(t *testing.T, w *os.File) int {
	n, err := unix.IoctlGetInt(int(w.Fd()), unix.TIOCINQ)
	require.NoError(t, err)
	return n
}

func TestDirectoriesThatAreRefused(t *testing.T) {
	base := t.TempDir()
	link, writable := filepath.Join(base, "link"), filepath.Join(base, "writable")
	require.NoError(t, os.Symlink(base, link))
	require.NoError(t, os.Mkdir(writable, 0o700))
	require.NoError(t, os.Chmod(writable, 0o770))
	require.ErrorContains(t, prepare(link), "is not a directory")
	require.ErrorContains(t, prepare(writable), "can be written by others")
	require.NoError(t, prepare(filepath.Join(base, "new")))
}

// The spool can't be used while a holder takes over: the container does not wait, and what is lost is counted.
func TestHolderOfASpoolThatCannotBeOpened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := start(t, "c1", "spool", dir)
	a := startAgent(t, dir)
	fmt.Fprintln(s.stdout, "before")
	require.Eventually(t, func() bool { return a.agent.Held() == 1 }, 5*time.Second, time.Millisecond)
	s.drained(s.stdout)
	require.NoError(t, os.Chmod(dir, 0o722)) // others may write to it, which is refused
	require.NoError(t, s.logger.Process.Kill())
	_ = s.logger.Wait()
	a.holder(t)
	for range 1000 {
		fmt.Fprintf(s.stdout, "%01000d\n", 7) // more than a pipe holds
	}
	s.drained(s.stdout)
	require.NoError(t, os.Chmod(dir, 0o700))
	key := entries(dir)[keyAt(dir)].Name()
	stored := spool.OpenWriter(spool.Options{Dir: dir, Log: quiet})
	require.Eventually(t, func() bool { return stored.Written(key) }, 10*time.Second, 5*time.Millisecond, "the holder has not opened the log")
	fmt.Fprintln(s.stdout, "after")
	require.NoError(t, s.stdout.Close())
	require.NoError(t, s.stderr.Close())
	require.Eventually(t, func() bool { return a.agent.Held() == 0 }, 10*time.Second, 5*time.Millisecond)
	all := records(t, dir)
	require.Len(t, all, 3)
	require.Equal(t, "before", string(all[0].Line))
	require.True(t, all[1].Marker)
	require.EqualValues(t, 1000, all[1].Offset, "lines in the gap")
	require.Equal(t, "after", string(all[2].Line))
}

// A container lives entirely while the spool can't be used: its gap is there all the same, and none is started to replace
// its logger, which has read everything.
func TestContainerThatNeverHadALog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	src := startSource(t, dir, spool.Limits{MaxBytes: 1 << 30, MaxBytesEach: 1 << 30})
	require.NoError(t, os.Chmod(dir, 0o722)) // others may write to it, which the logger refuses
	s := start(t, "c1", "spool", dir)
	for range 1000 {
		fmt.Fprintf(s.stdout, "%01000d\n", 7)
	}
	require.Eventually(t, func() bool { return src.Held() == 1 }, 5*time.Second, time.Millisecond)
	require.Error(t, s.delete())
	require.Equal(t, []string{"gap: spool could not be opened 1000"}, src.read(t))
	require.Eventually(t, func() bool { return src.Held() == 0 }, 5*time.Second, time.Millisecond)
	src.nothingLeft(t)
}

// A writer with its spool's directory gone: it must not be taken for one whose log was delivered.
func TestHolderIsStartedThoughTheLogIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := start(t, "c1", "spool", dir)
	a := startAgent(t, dir)
	require.Eventually(t, func() bool { return a.agent.Held() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, entries(dir)[keyAt(dir)].Name())))
	require.NoError(t, s.logger.Process.Kill())
	_ = s.logger.Wait()
	a.holder(t)
	fmt.Fprintln(s.stdout, "read all the same")
	s.drained(s.stdout)
	require.NoError(t, s.stdout.Close())
	require.NoError(t, s.stderr.Close())
	require.Eventually(t, func() bool { return a.agent.Held() == 0 }, 10*time.Second, 5*time.Millisecond)
}

// A logger is killed when its container has ended already and all was read: the holder ends the log, which lacks nothing.
func TestLoggerIsKilledAtTheEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	src := startSource(t, dir, spool.DefaultLimits)
	s := start(t, "c1", "spool", dir)
	fmt.Fprintln(s.stdout, "all")
	s.drained(s.stdout)
	require.Eventually(t, func() bool { return src.Held() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, s.logger.Process.Signal(syscall.SIGSTOP))
	require.NoError(t, s.stdout.Close())
	require.NoError(t, s.stderr.Close())
	require.NoError(t, s.logger.Process.Kill())
	_ = s.logger.Wait()
	require.Equal(t, []string{"all"}, src.read(t))
	src.nothingLeft(t)
}

// Logger and agent are killed in turn while a container writes: it never gets SIGPIPE, and every line is in the spool
// once, in order.
func TestAnyOneMayDie(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := start(t, "c1", "spool", dir)
	a := startAgent(t, dir)
	var lines int
	written, enough := make(chan error, 1), make(chan struct{})
	go func() { // it writes throughout the kills
		var failed error
		for i := 0; ; i++ {
			select {
			case <-enough:
				lines = i
				written <- failed
				return
			default:
			}
			if _, err := fmt.Fprintf(s.stdout, "line %06d\n", i); err != nil {
				failed = err
			}
			if _, err := fmt.Fprintf(s.stderr, "line %06d\n", i); err != nil {
				failed = err
			}
		}
	}()
	require.Eventually(t, func() bool { return a.agent.Held() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, s.logger.Process.Kill())
	_ = s.logger.Wait()
	holder := a.holder(t)
	for range 3 {
		a.stop() // the holder continues alone
		a = startAgent(t, dir)
		require.Eventually(t, func() bool { return a.agent.Held() == 1 }, 5*time.Second, time.Millisecond)
		require.NoError(t, holder.Kill())
		holder = a.holder(t)
	}
	close(enough)
	require.NoError(t, <-written)
	require.Positive(t, lines)
	require.NoError(t, s.stdout.Close())
	require.NoError(t, s.stderr.Close())
	require.Eventually(t, func() bool { return spool.Ended(dir, entries(dir)[keyAt(dir)].Name()) }, 10*time.Second, 5*time.Millisecond)
	a.stop()
	all := records(t, dir)
	require.Len(t, all, 2*lines)
	var next [3]int
	for _, r := range all {
		require.Equal(t, fmt.Sprintf("line %06d", next[r.Std]), string(r.Line), "%v", r.Std)
		next[r.Std]++
	}
}

func keyAt(dir string) int {
	return slices.IndexFunc(entries(dir), func(e os.DirEntry) bool { return e.IsDir() })
}

type testAgent struct {
	agent   *loggers.Agent
	started chan *os.Process
	stop    func()
}

// startAgent starts an agent that holds descriptors as the node agent does.
func startAgent(t *testing.T, dir string) *testAgent {
	a := &testAgent{started: make(chan *os.Process, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	a.agent = &loggers.Agent{Dir: dir, Log: quiet, Ended: func(key string) bool { return spool.Ended(dir, key) },
		Hold: func(key string, files [2]*os.File, exited func(bool)) error {
			cmd := exec.Command(os.Args[0], "--hold", dir, key)
			cmd.Env, cmd.ExtraFiles = []string{runMain + "=1", "GORACE=" + os.Getenv("GORACE")}, files[:]
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := cmd.Start(); err != nil {
				return err
			}
			go func() { exited(cmd.Wait() == nil) }()
			a.started <- cmd.Process
			return nil
		}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.agent.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	a.stop = func() { cancel(); <-done }
	t.Cleanup(a.stop)
	return a
}

// holder is the process that the agent has started. It is addressed as *os.Process: a number that is not a process's would
// be a signal to others.
func (a *testAgent) holder(t *testing.T) *os.Process {
	t.Helper()
	select {
	case process := <-a.started:
		return process
	case <-time.After(5 * time.Second):
		require.FailNow(t, "the agent has started no holder")
		return nil
	}
}

// source is the node agent's side, with everything that is read from it.
type source struct {
	*loggers.Source
	dir  string
	logs chan *spool.Log
	stop func()
}

func startSource(t *testing.T, dir string, limits spool.Limits) *source {
	t.Helper()
	s := &source{dir: dir, logs: make(chan *spool.Log, 10)}
	var err error
	s.Source, err = loggers.Open(loggers.Options{Dir: dir, Logger: build(t), Limits: limits, Log: quiet,
		Views: func(string, *manifest.Container) (views, former map[string]int64) {
			return map[string]int64{"v": 0}, nil
		},
		Attach: func(l *spool.Log, _ *manifest.Container) { s.logs <- l }})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	s.stop = func() { cancel(); <-done }
	t.Cleanup(s.stop)
	return s
}

// read reads a log to its end and releases it; a gap is "gap: REASON RECORDS".
func (s *source) read(t *testing.T) (all []string) {
	t.Helper()
	var l *spool.Log
	select {
	case l = <-s.logs:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the agent has found no log")
	}
	v := l.View("v")
	f, b := cut.NewChunks(&record.Source{}, v, 1<<20, time.Minute.Nanoseconds()), record.NewBatch(4<<20)
	deadline := time.Now().Add(20 * time.Second)
	for off := int64(0); ; {
		require.True(t, time.Now().Before(deadline), "the log has not ended at %d of %d (ended %v), after %d records", off, l.End(), l.Ended(), len(all))
		b.Reset()
		data := b.Free()
		n, err := v.ReadAt(data, off)
		var gap *stream.Gap
		if errors.As(err, &gap) {
			all, off = append(all, fmt.Sprintf("gap: %s %d", gap.Reason, gap.Records)), gap.To
			continue
		}
		ended := errors.Is(err, io.EOF)
		b.Keep(n)
		_, behind := v.ReadAt(make([]byte, 1), off+int64(n))
		torn := errors.As(behind, &gap) // what is unfinished before a gap stays so
		used := f.Cut(b, data[:n], off, 0, ended || torn)
		require.NoError(t, f.Err())
		for _, r := range b.Records {
			all = append(all, string(r.Line))
		}
		if off += int64(used); ended {
			v.Release(off)
			return all
		}
		if used == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (s *source) nothingLeft(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return keyAt(s.dir) < 0 }, 5*time.Second, 10*time.Millisecond, "%v", entries(s.dir))
}

// The agent reads what loggers write, in another process, continues after a logger has died, and gives the space back.
func TestTheAgentReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	a := startSource(t, dir, spool.DefaultLimits)
	s := start(t, "c1", "spool", dir)
	var want []string
	got := make(chan []string)
	go func() { got <- a.read(t) }()
	for i := range 20_000 {
		want = append(want, fmt.Sprintf("line %d", i))
		_, err := fmt.Fprintln(s.stdout, want[i])
		require.NoError(t, err)
		if i == 10_000 {
			require.Eventually(t, func() bool { return a.Held() == 1 }, 5*time.Second, time.Millisecond)
			require.NoError(t, s.logger.Process.Kill())
			_ = s.logger.Wait()
		}
	}
	require.NoError(t, s.stdout.Close())
	require.NoError(t, s.stderr.Close())
	require.Equal(t, want, <-got)
	a.nothingLeft(t)
}

// Nobody has read for long: the agent drops the oldest, and counts; the logger and its container continue.
func TestTheAgentDropsTheOldest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	a := startSource(t, dir, spool.Limits{MaxBytes: 1 << 30, MaxBytesEach: 1 << 20, WhenFull: "drop-oldest"})
	require.Eventually(t, func() bool { return spool.ReadLimits(dir).MaxBytesEach == 1<<20 }, 5*time.Second, time.Millisecond)
	s := start(t, "c1", "spool", dir)
	const lines = 10_000
	for i := range lines {
		_, err := fmt.Fprintf(s.stdout, "%01000d\n", i)
		require.NoError(t, err)
	}
	require.NoError(t, s.delete())
	var records, gaps int
	for _, line := range a.read(t) {
		var n int
		if _, err := fmt.Sscanf(strings.TrimPrefix(line, "gap: spool full "), "%d", &n); strings.HasPrefix(line, "gap: spool full ") {
			require.NoError(t, err)
			records, gaps = records+n, gaps+1
		} else {
			records++
		}
	}
	require.Positive(t, gaps)
	require.InDelta(t, lines, records, float64(gaps), "a line at the edge of a gap may count on both sides")
	a.nothingLeft(t)
}

// All that had the descriptors were killed: the log ends, with a gap.
func TestLoggerIsKilledWithoutAnAgent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := start(t, "c1", "spool", dir)
	fmt.Fprintln(s.stdout, "stored")
	s.drained(s.stdout)
	require.NoError(t, s.logger.Process.Kill())
	_ = s.logger.Wait()
	a := startSource(t, dir, spool.DefaultLimits)
	require.Equal(t, []string{"stored", "gap: logger was killed -1"}, a.read(t))
	a.nothingLeft(t)
}

var builder struct {
	sync.Once
	path string
}

// build makes the binary once; TestMain removes it.
func build(t *testing.T) string {
	t.Helper()
	builder.Do(func() {
		dir, err := os.MkdirTemp("", "remora-logger-")
		require.NoError(t, err)
		builder.path = filepath.Join(dir, "remora-logger")
		make := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", builder.path, ".")
		make.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := make.CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	return builder.path
}

// What is linked into the process of every container.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	allowed := []string{"containerd", "shared/capture", "shared/frame", "shared/handover", "shared/manifest", "shared/notice", "shared/spool", "shared/stream"}
	for _, name := range strings.Fields(string(out)) {
		if own, ok := strings.CutPrefix(name, "github.com/remora-logs/remora/"); ok {
			require.Contains(t, allowed, own, "the logger must stay small")
		} else if strings.Contains(name, ".") && !strings.HasPrefix(name, "vendor/") {
			require.Equal(t, "golang.org/x/sys/unix", name, "the logger must stay small")
		}
		require.NotContains(t, []string{"net", "crypto/tls", "regexp", "os/exec"}, name, "the logger must stay small")
	}
}

func TestItIsSmall(t *testing.T) {
	binary := build(t)
	st, err := os.Stat(binary)
	require.NoError(t, err)
	require.Less(t, st.Size(), int64(4<<20))
	text, err := exec.Command(binary).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(text), "It is not started by hand")
	text, err = exec.Command(binary, "--version").Output()
	require.NoError(t, err)
	require.Equal(t, "devel\n", string(text))
	dir := filepath.Join(t.TempDir(), "spool")
	text, err = exec.Command(binary, "--check", dir).Output()
	require.NoError(t, err)
	require.Contains(t, string(text), "✓ spool "+dir+": can be used")
}
